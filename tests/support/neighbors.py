"""Requests of auth to services that run in the test's process."""

from dataclasses import replace
from typing import Any

import aiohttp

from kit.owners import Owner
from services.auth.export import Exporter
from services.auth.neighbors import Neighbors
from settings import ServiceName
from tests.support.service import SIGNER, Served


class InProcess(Owner):
    """Sends requests to a service in this process instead of over the network."""

    def __init__(self, served: Served) -> None:
        super().__init__("http://in-process")
        self.served = served
        self.is_down = False

    async def _request(self, method: str, path: str, session: str | None) -> tuple[int, bytes]:
        if self.is_down:
            raise aiohttp.ClientConnectionError("the test has stopped it")
        headers = {"Authorization": f"Bearer {session}"}
        answer = await self.served.http.request(method, path, headers=headers)
        return answer.status_code, answer.content


def connect(auth: Served, services: dict[ServiceName, Served]) -> dict[ServiceName, InProcess]:
    """Let auth ask these services."""
    owners = {name: InProcess(served) for name, served in services.items()}
    neighbors = Neighbors(auth.app.state.settings, SIGNER)  # services of tests have its public key
    for name in ("_owners", "_data"):
        setattr(neighbors, name, owners)
    state: Any = auth.app.state
    state.departures = replace(state.departures, neighbors=neighbors)
    state.exporter = Exporter(neighbors)
    return owners

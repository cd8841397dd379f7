"""The services that auth asks about users who leave or export their data."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from contracts.api import OpenMatter
from contracts.export import (
    ExportedAlert,
    ExportedListingReport,
    ExportedMatch,
    ExportedMessage,
    ExportedOptOut,
    ExportedOrder,
    ExportedPayment,
    ExportedPayout,
    ExportedPhoto,
    ExportedTicket,
)
from contracts.internal import OpenMatters, Part
from kit.errors import Forbidden, NotFound, NotSignedIn, Unavailable
from kit.owners import RETRY_AFTER, Owner, W
from kit.tokens import Signer
from settings import ServiceName, Settings

DATA_SECONDS = 10.0
"""How long to wait for a part of somebody's data."""

GUARDED: Sequence[ServiceName] = ("orders", "tickets")
"""The services in which users add something that keeps them from leaving."""

STORING: Sequence[ServiceName] = ("orders", "tickets", "payments", "payouts", "mail")
"""The services that store something about users."""

T = TypeVar(
    "T",
    ExportedOrder,
    ExportedTicket,
    ExportedPayment,
    ExportedPayout,
    ExportedPhoto,
    ExportedAlert,
    ExportedMatch,
    ExportedListingReport,
    ExportedMessage,
    ExportedOptOut,
)


class Neighbors:
    """Orders, tickets, payments, payouts and mail."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self._signer = signer
        names: Sequence[ServiceName] = ("orders", "tickets", "payments", "payouts")
        self._owners = {name: Owner(settings.url_of(name)) for name in names}
        self._data = {name: Owner(settings.url_of(name), seconds=DATA_SECONDS) for name in STORING}

    async def open_matters(self, user_id: str) -> list[OpenMatter]:
        """What is open now.

        Raises:
            Unavailable: a service doesn't answer.
        """
        path = f"/internal/users/{user_id}/open"
        return await self._matters(*((name, "GET", path) for name in self._owners))

    async def close(self, user_id: str, attempt: str) -> list[OpenMatter]:
        """Let the services accept nothing new from the user, and then show what is open.

        Raises:
            Unavailable: a service doesn't answer. Others may have closed the user.
        """
        path = f"/internal/users/{user_id}"
        closing = ((name, "PUT", f"{path}/closing/{attempt}") for name in GUARDED)
        looking = ((name, "GET", f"{path}/open") for name in self._owners if name not in GUARDED)
        return await self._matters(*closing, *looking)

    async def reopen(self, user_id: str, attempt: str) -> None:
        """Undo `close`, unless another attempt has closed the user since.

        Raises:
            Unavailable: a service doesn't answer. Others may have reopened the user.
        """
        path = f"/internal/users/{user_id}/closing/{attempt}"
        await self._matters(*((name, "DELETE", path) for name in GUARDED))

    async def entries(
        self, name: ServiceName, kind: type[Part[T]], user_id: str, what: str = "data"
    ) -> AsyncIterator[T]:
        """What a service stores about the user.

        Raises:
            Unavailable: the service doesn't answer.
        """
        after: str | None = ""
        while after is not None:
            query = f"?after={after}" if after else ""
            path = f"/internal/users/{user_id}/{what}{query}"
            part = await self._send(name, self._data[name], "GET", path, kind)
            for entry in part.entries:
                yield entry
            after = part.after

    async def _matters(self, *requests: tuple[ServiceName, str, str]) -> list[OpenMatter]:
        answers = await asyncio.gather(
            *(
                self._send(name, self._owners[name], method, path, OpenMatters)
                for name, method, path in requests
            )
        )
        return [matter for answer in answers for matter in answer.matters]

    async def _send(self, name: ServiceName, owner: Owner, method: str, path: str, kind: type[W]) -> W:
        try:
            return await owner.send(method, path, kind, session=self._signer.sign_request(name))
        except (NotFound, NotSignedIn, Forbidden) as error:
            # A process of an earlier version lacks the path or doesn't know the token.
            raise Unavailable(retry_after=RETRY_AFTER) from error

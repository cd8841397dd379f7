"""What the mailbox of a running marketplace has received."""

import re
from dataclasses import dataclass
from typing import Any

import httpx

from settings import Settings
from tests.support.polling import until


@dataclass(frozen=True)
class Received:
    """A message in the mailbox."""

    key: int
    subject: str
    text: str
    html: str
    headers: list[list[str]]
    attachments: list[dict[str, str]]

    @property
    def link(self) -> str:
        """Where the button leads."""
        found = re.search(r'<a class="button" href="([^"]+)"', self.html)
        assert found is not None, self.html
        return found[1]


class Mailbox:
    def __init__(self, settings: Settings) -> None:
        self.url = f"http://localhost:{settings.mailbox_port}"

    async def subjects(self, address: str) -> list[str]:
        """The subjects of the messages to this address, newest first."""
        return [each["subject"] for each in await self._list(address)]

    async def message(self, address: str, subject: str) -> Received:
        """Wait for the message to this address whose subject contains the text."""

        async def look() -> list[dict[str, Any]]:
            return [each for each in await self._list(address) if subject in each["subject"]]

        found, *others = await until(look)
        assert others == [], "the message was sent twice"
        async with httpx.AsyncClient(base_url=self.url) as http:
            body = (await http.get(f"/api/messages/{found['id']}")).json()
        return Received(key=found["id"], subject=found["subject"], **body)

    async def _list(self, address: str) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self.url) as http:
            found: list[dict[str, Any]] = (await http.get("/api/messages", params={"to": address})).json()
            return found

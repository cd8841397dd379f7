"""The mail server of a run. It keeps who received what. Faults let it refuse or delay messages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.parser import BytesHeaderParser
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from tests.resilience.chaos.history import Copy

ACCEPTED = "250 OK"


class Mailbox:
    """A real SMTP server on a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[Copy] = []
        self.answer: Callable[[], str] = lambda: ACCEPTED
        """The answer to each recipient, and again to each content."""
        self.seconds = 0.0
        """The time from storing a message until the server says so."""
        self.stored = asyncio.Event()
        """Set whenever a message is stored."""

    def heal(self) -> None:
        """Accept everything at once."""
        self.answer, self.seconds = lambda: ACCEPTED, 0.0

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answer()
        if answer == ACCEPTED:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        answer = self.answer()
        if answer == ACCEPTED:
            assert isinstance(envelope.content, bytes)
            message_id = str(BytesHeaderParser(policy=default).parsebytes(envelope.content)["Message-ID"])
            self.received += [Copy(message_id, address) for address in envelope.rcpt_tos]
            self.stored.set()
            await asyncio.sleep(self.seconds)
        return answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receive messages until the block ends."""

        def connected() -> SMTP:
            return SMTP(self, hostname="mailbox", enable_SMTPUTF8=True)

        server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()

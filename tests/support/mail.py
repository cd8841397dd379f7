"""A mail server, and auth's internal API, whose answers a test decides."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope

from kit.secrets import mail_token
from sandbox.mailbox.store import parsed
from sandbox.testing import free_port
from settings import Settings

ACCEPTED = "250 OK"


@dataclass
class MailServerDouble:
    """A real SMTP server of this test. Its answers can be changed at any time."""

    port: int = field(default_factory=free_port)
    received: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    """The address in the envelope of each received message."""
    connections: int = 0
    to_sender: str = ACCEPTED
    to_recipient: Callable[[str], str] = lambda _: ACCEPTED
    to_content: str = ACCEPTED
    before_answer: Callable[[], Any] | None = None
    """Awaited after a message is stored, before the server says so."""

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def copies(self) -> Counter[str]:
        """How often each message was received, by Message-ID."""
        return Counter(str(message["Message-ID"]) for message in self.received)

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.to_sender == ACCEPTED:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return self.to_sender

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.to_recipient(address)
        if answer == ACCEPTED:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.to_content != ACCEPTED:
            return self.to_content
        assert isinstance(envelope.content, bytes)
        self.received.append(parsed(envelope.content))
        self.recipients += envelope.rcpt_tos
        if self.before_answer is not None:
            await self.before_answer()
        return ACCEPTED

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[None]:
        """Run the server until the block ends. It may be run again on the same port.

        Args:
            options: of aiosmtpd, such as a TLS context.
        """

        def connected() -> SMTP:
            self.connections += 1
            return SMTP(self, hostname="test", enable_SMTPUTF8=True, **options)

        server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()


@dataclass
class InternalAuth:
    """What auth tells mail."""

    settings: Settings
    port: int = field(default_factory=free_port)
    users: dict[str, str] = field(default_factory=dict)
    """Addresses by id."""
    languages: dict[str, str] = field(default_factory=dict)
    """The languages that users have chosen, by id."""
    links: dict[str, dict[str, str] | int] = field(default_factory=dict)
    """The answer about each link, or a status."""
    status: int | None = None
    """The status of all answers, if set."""
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _user(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        email = self.users.get(key)
        answer = None if email is None else {"id": key, "email": email, "name": None, "confirmed": True}
        if answer is not None and key in self.languages:
            answer["language"] = self.languages[key]
        return self._answer(request, answer)

    async def _link(self, request: web.Request) -> web.Response:
        return self._answer(request, self.links.get(request.match_info["key"]))

    def _answer(self, request: web.Request, answer: dict[str, Any] | int | None) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        assert token == mail_token(self.settings)
        self.asked[request.match_info["key"]] += 1
        if self.status is not None:
            return web.Response(status=self.status)
        if not isinstance(answer, dict):
            return web.Response(status=answer or 404)
        return web.json_response(answer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/internal/users/{key}", self._user)
        app.router.add_post("/internal/links/{key}", self._link)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            yield
        finally:
            await runner.cleanup()

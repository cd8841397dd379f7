"""The SMTP server of the mailbox. It accepts every message, and delivers none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from sandbox.mailbox.store import Store

MAX_BYTES = 5_000_000


class _Handler:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        for recipient in envelope.rcpt_tos:
            self._store.add(recipient, envelope.mail_from or "", raw)
        return "250 Stored, and delivered to nobody"


@asynccontextmanager
async def receiving(store: Store, port: int) -> AsyncIterator[None]:
    """Receive messages on this port of this machine until the block ends."""
    handler = _Handler(store)

    def connected() -> SMTP:
        return SMTP(handler, hostname="mailbox", data_size_limit=MAX_BYTES, enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", port)
    async with server:
        yield

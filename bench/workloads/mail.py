"""How fast one and three senders empty the queue of mail, and whether each message is sent once.

The senders are processes. A mail server and auth's internal API run in this process, next to a database of
their own.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from bson import ObjectId

from bench.failure import Failed
from bench.figures import Figure
from bench.suite import Suite, Workload
from contracts.wire import now
from kit.mongo import database
from ops.migrate import create_indexes
from sandbox.processes import ROOT
from sandbox.testing import free_port, mongo_server
from services.mail.documents import Message, key_of
from services.mail.kinds.orders import EXAMPLE, OrderFacts, Receipt
from settings import Settings
from streams.mail import service
from tests.resilience.chaos.mailbox import Mailbox
from tests.support.mail import InternalAuth

SENDERS = (1, 3)
SECONDS = 900.0
"""How long a run may take."""


async def measure(suite: Suite) -> list[Figure]:
    figures = []
    folder = suite.folder / "mail"
    async with mongo_server(folder / "mongo") as url:
        for senders in SENDERS:
            rates = [
                await _run(url, folder, senders, suite.effort.messages) for _ in range(suite.effort.runs)
            ]
            suite.say(f"  {senders}: each message was sent once, {max(rates):.0f} per second at best")
            figures.append(
                Figure(
                    workload=f"{suite.effort.messages:,} queued messages",
                    name=f"{senders} sender{'s' if senders > 1 else ''}",
                    unit="/s",
                    runs=rates,
                )
            )
    return figures


async def _run(url: str, folder: Path, senders: int, size: int) -> float:
    """Messages per second until the queue is empty.

    Raises:
        Failed: a message wasn't sent, or was sent twice.
    """
    name, mailbox = f"mail-{uuid4().hex}", Mailbox(free_port())
    settings = Settings.model_validate({"data_dir": folder, "mongo_url": url})
    auth = InternalAuth(settings)
    environment = {
        "DATA_DIR": str(folder),
        "MONGO_URL": url,
        "AUTH_URL": auth.url,
        "MAILBOX_SMTP_PORT": str(mailbox.port),
        "LOG_LEVEL": "WARNING",
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(mailbox.running())
        await stack.enter_async_context(auth.running())
        bound = await stack.enter_async_context(database(url, name, service.documents))
        await create_indexes(bound, service.documents)
        messages = [_message() for _ in range(size)]
        auth.users = {each.recipient: f"{each.recipient}@example.com" for each in messages}
        documents = [each.model_dump(by_alias=True) for each in messages]
        await Message.get_pymongo_collection().insert_many(documents, ordered=False)
        processes = [await _started(name, environment, stack) for _ in range(senders)]
        began = time.monotonic()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(each.communicate(b"\n") for each in processes))
        taken = time.monotonic() - began
        sent = await Message.get_pymongo_collection().count_documents({"status": "sent"})
    copies = Counter(copy.message_id for copy in mailbox.received)
    if (sent, len(copies), copies.total()) != (size, size, size):
        raise Failed(f"{size} messages: {sent} sent, {len(copies)} received in {copies.total()} copies")
    return size / taken


def _message() -> Message:
    """A receipt that is due, of another order and to another person than any other."""
    order, buyer, moment = str(ObjectId()), str(ObjectId()), now()
    facts = OrderFacts.of(EXAMPLE.model_copy(update={"id": order, "user_id": buyer}))
    return Message(
        id=key_of(Receipt.name, order, buyer),
        kind=Receipt.name,
        cause=order,
        recipient=buyer,
        facts=facts.model_dump(),
        next_attempt_at=moment,
        created_at=moment,
    )


async def _started(
    name: str, environment: dict[str, str], stack: AsyncExitStack
) -> asyncio.subprocess.Process:
    """A sender that is ready to begin, and is killed at the latest when the stack closes."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.mail_sender", name),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    def end() -> None:
        if child.returncode is None:
            child.kill()

    stack.callback(end)
    assert child.stdout is not None
    if await child.stdout.readline() != b"ready\n":
        raise Failed("a sender didn't start")
    return child


MAIL = {
    "mail": Workload(
        "one and three senders of queued emails: messages per second", measure, needs_market=False
    )
}

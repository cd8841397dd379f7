"""Events published between the snapshots of EVENTS and of the databases.

The backup includes only events whose state the databases have reached. Subscribers would apply an event of a
later state, and would then ignore a different state that gets the same version after the restore.
"""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from kit.nats import EVENTS, PUBLISH_SECONDS
from ops.backup.mongo_dump import DatabaseReader

FILE = "since.jsonl"

OWNERS = {
    "ticket": ("tickets", "tickets"),
    "order": ("orders", "orders"),
    "payment": ("payments", "payments"),
    "payout": ("payouts", "sales"),
}
"""Database and collection of each kind of aggregate. Events of sessions and timers have no versions."""


async def save(js: JetStreamContext, after: int, reader: DatabaseReader, folder: Path) -> int:
    """Write the events after the sequence number `after` into the folder. Return the number of events."""
    count = 0
    last = (await js.stream_info(EVENTS)).state.last_seq
    with (folder / FILE).open("x") as file:
        async for message in _messages(js, after + 1, last):
            if await _is_known(message, reader):
                file.write(json.dumps(_as_json(message)) + "\n")
                count += 1
    return count


async def restore(js: JetStreamContext, folder: Path) -> int:
    """Publish the events that the stream lacks. Return the number of events."""
    last = (await js.stream_info(EVENTS)).state.last_seq
    count = 0
    with (folder / FILE).open() as file:
        for line in file:
            event = json.loads(line)
            if event["sequence"] <= last:
                continue
            body = base64.b64decode(event["body"])
            await js.publish(
                event["subject"], body, timeout=PUBLISH_SECONDS, stream=EVENTS, headers=event["headers"]
            )
            count += 1
    return count


async def _messages(js: JetStreamContext, sequence: int, last: int) -> AsyncIterator[RawStreamMsg]:
    while sequence <= last:
        try:
            message = await js.get_msg(EVENTS, seq=sequence, subject=">", next=True)
        except NotFoundError:
            return
        sequence = (message.seq or sequence) + 1
        if (message.seq or 0) <= last:
            yield message


async def _is_known(message: RawStreamMsg, reader: DatabaseReader) -> bool:
    owner = OWNERS.get((message.subject or "").partition(".")[0])
    if owner is None:
        return True
    try:
        body = json.loads(message.data or b"")
        about, version = str(body["id"]), int(body["version"])
    except (ValueError, LookupError, TypeError):
        return True  # a malformed event doesn't describe any state
    reached = await reader.version(*owner, about)
    return reached is not None and version <= reached


def _as_json(message: RawStreamMsg) -> dict[str, Any]:
    return {
        "sequence": message.seq,
        "subject": message.subject,
        "headers": message.headers or {},
        "body": base64.b64encode(message.data or b"").decode(),
    }

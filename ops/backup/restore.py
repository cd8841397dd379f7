"""Restore a backup while no service runs.

After an interrupted restore, no service starts and no backup is made until the restore is repeated with
`--replace`.
"""

from datetime import timedelta
from pathlib import Path

from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import NotFoundError

from kit.nats import EVENTS, connection_to, read_stream
from kit.secrets import OPERATOR, nats_servers
from ops.backup import STREAMS, BackupError, stream_snapshots, trailing_events
from ops.backup.folder import Manifest, checked
from ops.backup.mongo_dump import Databases, databases
from ops.backup.running_services import running
from ops.migrate import create_indexes
from ops.provision import provision
from settings import Settings
from streams.processes import DATABASES, PROCESSES
from streams.topology import set_limits

MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
"""Maximum difference between the clocks of the NATS server and of a service."""


async def restore(settings: Settings, folder: Path, *, replace: bool = False) -> Manifest:
    """Replace the content of databases and streams with the backup, and return its manifest.

    Args:
        replace: delete the existing content of the databases and streams.

    Raises:
        BackupError: the restore failed. If nothing was changed, the message says so.
        NotMigrated: everything is restored, but an index can't be created.
    """
    manifest = checked(folder)
    if set(manifest.databases) != set(DATABASES) or set(manifest.streams) != set(STREAMS):
        raise BackupError(
            f"{folder} doesn't contain the databases and streams of this version. Nothing was changed."
        )
    async with (
        connection_to(nats_servers(settings, OPERATOR)) as connection,
        databases(settings.database, DATABASES) as stored,
    ):
        js = connection.jetstream(timeout=10)
        begun = await stored.half_restored()
        if not replace and (found := [*await stored.filled(), *await _filled(js)]):
            why = "An earlier restore didn't end" if begun else f"There is data in {', '.join(found)}"
            raise BackupError(f"{why}: give --replace to delete the existing data. Nothing was changed.")
        # Mark the databases before looking for running services, so that no service starts after the check.
        await stored.begin_restore()
        if services := await running(settings, js):
            if not begun:
                await stored.end_restore()
            raise BackupError(f"Stop these services first: {', '.join(services)}. Nothing was changed.")
        for name in DATABASES:
            counts = await stored.restore(name, folder / "databases")
            if counts != manifest.databases[name]:
                raise BackupError(f"Database {name} has {counts} now, not {manifest.databases[name]}.")
        for stream in STREAMS:
            source = folder / "streams" / stream
            await stream_snapshots.restore(connection, stream, source, settings.nats_replicas)
        await provision(js, settings.nats_replicas, set_limits(settings))
        await trailing_events.restore(js, folder / "streams" / EVENTS)
        await remove_published(stored, js)
        await stored.end_restore()
        # The backup may be of a version that needed other indexes.
        for service in PROCESSES:
            if service.documents:
                await create_indexes(stored.database(service.name), service.documents)
    return manifest


async def remove_published(stored: Databases, js: JetStreamContext) -> None:
    """Remove the outbox messages that the stream contains.

    The backup may have been made between the publishing of a message and its removal from the outbox. The
    relay would publish the message again. The server would store it twice, because it doesn't know the
    message ids of a restored stream.
    """
    written = await stored.outbox_messages()
    if not written:
        return
    oldest = min(written.values()) - MAX_CLOCK_DIFFERENCE
    ids = (message.headers.get(Header.MSG_ID, "") async for message in read_stream(js, EVENTS, ">", oldest))
    await stored.remove_outbox_messages({id_ async for id_ in ids if id_ in written})


async def _filled(js: JetStreamContext) -> list[str]:
    """The streams that have or had messages."""
    found = []
    for stream in STREAMS:
        try:
            state = (await js.stream_info(stream)).state
        except NotFoundError:
            continue
        if state.last_seq:
            found.append(stream)
    return found

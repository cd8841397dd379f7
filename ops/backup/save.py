"""Back up all databases and streams into a folder, while services may run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contracts.wire import now
from kit.nats import EVENTS, connection_to
from kit.secrets import OPERATOR, nats_servers
from ops.backup import STREAMS, BackupError, stream_snapshots, trailing_events
from ops.backup.folder import FORMAT, MANIFEST, Manifest, draft
from ops.backup.mongo_dump import Counts, DatabaseReader, Databases, databases
from ops.backup.running_services import running
from settings import Settings
from streams.processes import DATABASES


async def save(settings: Settings, folder: Path) -> Manifest:
    """Write a backup and return its manifest.

    Raises:
        BackupError: the backup failed, and no folder was created.
    """
    async with (
        connection_to(nats_servers(settings, OPERATOR)) as connection,
        databases(settings.database, DATABASES) as stored,
    ):
        js = connection.jetstream(timeout=10)
        if await stored.half_restored():
            raise BackupError(
                "A restore didn't end, so there is nothing to back up. Repeat the restore first."
            )
        with draft(folder) as partial:
            at_rest = not await running(settings, js)
            # Read the databases after the streams, so that the dump contains the effects of all messages that
            # the snapshots of the streams count as acknowledged.
            for stream in STREAMS:
                (partial / "streams" / stream).mkdir(mode=0o700, parents=True)
            last = {
                stream: await stream_snapshots.save(connection, stream, partial / "streams" / stream)
                for stream in STREAMS
            }
            async with _reader(stored, at_rest=at_rest) as reader:
                counts: dict[str, Counts] = {
                    name: await reader.dump(name, partial / "databases") for name in DATABASES
                }
                events = await trailing_events.save(js, last[EVENTS], reader, partial / "streams" / EVENTS)
            if at_rest and (events or await running(settings, js)):
                raise BackupError("A service was started during the backup. Try again.")
            manifest = Manifest(
                format=FORMAT,
                made_at=now(),
                at_rest=at_rest,
                nats_server=str(connection.connected_server_version),
                databases={name: dict(collections) for name, collections in counts.items()},
                streams=last,
                events_since=events,
            )
            (partial / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


@asynccontextmanager
async def _reader(stored: Databases, *, at_rest: bool) -> AsyncIterator[DatabaseReader]:
    if at_rest:
        yield stored.reader()
        return
    async with stored.snapshot() as reader:
        yield reader


def summary(manifest: Manifest) -> str:
    """The size of a backup, and whether services ran meanwhile."""
    documents = sum(sum(collections.values()) for collections in manifest.databases.values())
    meanwhile = "no service ran" if manifest.at_rest else f"services published {manifest.events_since} events"
    return f"{documents} documents and {len(manifest.streams)} streams, while {meanwhile},"

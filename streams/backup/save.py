"""Back up all databases and streams into a folder: `just backup FOLDER`, also while people buy."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
from nats.aio.client import Client

import settings
from contracts.wire import now
from services.kit.dumps import Counts, Databases, DumpError, Moment, databases
from services.kit.mongo import DatabaseError
from settings import Settings
from streams.backup import DATABASES, STREAMS, BackupError, since, snapshots
from streams.backup.folder import FORMAT, MANIFEST, Manifest, draft
from streams.backup.running import running
from streams.operator import connected
from streams.topology import EVENTS


async def save(conf: Settings, connection: Client, folder: Path) -> Manifest:
    """Write a backup; gives what is in it.

    Raises:
        BackupError, DumpError: there is none.
    """
    js = connection.jetstream(timeout=10)
    async with databases(conf.database, DATABASES) as stored:
        if await stored.half_restored():
            raise BackupError("A restore began and didn't end: there is nothing to back up. Repeat it first.")
        with draft(folder) as partial:
            at_rest = not await running(conf, js)
            # What is acknowledged in the streams is done in the databases, so these come later.
            for stream in STREAMS:
                (partial / "streams" / stream).mkdir(mode=0o700, parents=True)
            last = {
                stream: await snapshots.save(connection, stream, partial / "streams" / stream)
                for stream in STREAMS
            }
            async with _moment(stored, at_rest=at_rest) as moment:
                counts: dict[str, Counts] = {
                    name: await moment.dump(name, partial / "databases") for name in DATABASES
                }
                events = await since.save(js, last[EVENTS], moment, partial / "streams" / EVENTS)
            if at_rest and (events or await running(conf, js)):
                raise BackupError("Something was started meanwhile. Try again.")
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
async def _moment(stored: Databases, *, at_rest: bool) -> AsyncIterator[Moment]:
    if at_rest:
        yield stored.at_rest()
        return
    async with stored.at_one_moment() as moment:
        yield moment


async def main() -> int:
    parser = argparse.ArgumentParser(prog="just backup", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder to make")
    folder: Path = parser.parse_args().folder
    async with connected() as connection:
        try:
            manifest = await save(settings.load(), connection, folder)
        except (BackupError, DumpError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except (DatabaseError, nats.errors.Error, TimeoutError) as error:
            sys.stderr.write(f"There is no backup: {error!r}\n")
            return 1
    sys.stdout.write(f"{summary(manifest)} in {folder}.\n")
    return 0


def summary(manifest: Manifest) -> str:
    documents = sum(sum(collections.values()) for collections in manifest.databases.values())
    how = "at rest" if manifest.at_rest else f"while it ran, with {manifest.events_since} events on their way"
    return f"{documents} documents and {len(manifest.streams)} streams, read {how}, are"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""Put a backup back: `just restore FOLDER`, while no service runs.

Refuses to replace what is there unless `--replace` is given. If it is cut short, no service starts and
nothing is backed up until it was repeated with `--replace`.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

import settings
from services.kit.dumps import DumpError, databases
from services.kit.mongo import DatabaseError
from settings import Settings
from streams.backup import DATABASES, STREAMS, BackupError, since, snapshots
from streams.backup.folder import Manifest, checked
from streams.backup.running import running
from streams.operator import connected
from streams.topology import EVENTS, provision


async def restore(conf: Settings, connection: Client, folder: Path, *, replace: bool = False) -> Manifest:
    """Make databases and streams what they are in the backup; gives what is in it.

    Raises:
        BackupError, DumpError: if nothing was touched, the words say so.
    """
    manifest = checked(folder)
    if set(manifest.databases) != set(DATABASES) or set(manifest.streams) != set(STREAMS):
        raise BackupError(f"{folder} has other databases or streams than these. Nothing was touched.")
    js = connection.jetstream(timeout=10)
    async with databases(conf.database, DATABASES) as stored:
        begun = await stored.half_restored()
        if not replace and (found := [*await stored.filled(), *await _filled(js)]):
            why = "An earlier restore didn't end" if begun else f"There is something in {', '.join(found)}"
            raise BackupError(f"{why}: give --replace to lose all of that. Nothing was touched.")
        # First, so that no service starts from here on; then a look at those that had.
        await stored.begin_restore()
        if services := await running(conf, js):
            if not begun:
                await stored.end_restore()
            raise BackupError(f"Stop the services first: {', '.join(services)} run. Nothing was touched.")
        for name in DATABASES:
            counts = await stored.restore(name, folder / "databases")
            if counts != manifest.databases[name]:
                raise BackupError(f"Database {name} has {counts} now, not {manifest.databases[name]}.")
        for stream in STREAMS:
            await snapshots.restore(connection, stream, folder / "streams" / stream, conf.nats_replicas)
        await provision(js, conf.nats_replicas)
        await since.restore(js, folder / "streams" / EVENTS)
        await stored.end_restore()
    return manifest


async def _filled(js: JetStreamContext) -> list[str]:
    """The streams that ever had a message."""
    found = []
    for stream in STREAMS:
        try:
            state = (await js.stream_info(stream)).state
        except NotFoundError:
            continue
        if state.last_seq:
            found.append(stream)
    return found


async def main() -> int:
    parser = argparse.ArgumentParser(prog="just restore", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder that `just backup` made")
    parser.add_argument("--replace", action="store_true", help="lose what is there now")
    arguments = parser.parse_args()
    async with connected() as connection:
        try:
            manifest = await restore(settings.load(), connection, arguments.folder, replace=arguments.replace)
        except (BackupError, DumpError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except (DatabaseError, nats.errors.Error, TimeoutError) as error:
            sys.stderr.write(f"Not restored, or half: repeat it with --replace. {error!r}\n")
            return 1
    sys.stdout.write(
        f"What was there at {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC is there again. Start the services, then"
        " look at `just books` for what Stripe did since.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

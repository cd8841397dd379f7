"""Snapshots of streams and their consumers with JetStream's own protocol, which nats-py doesn't implement.

A snapshot has two files: `backup.json` with the stream's configuration and state, and `stream.tar.s2` as the
server sent it. The command line tool `nats` has the same format and can restore a snapshot.
"""

import json
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from ops.backup import BackupError

ABOUT = "backup.json"
DATA = "stream.tar.s2"

CHUNK_BYTES = 128 * 1024
WINDOW_BYTES = 4 * 1024 * 1024
"""Number of bytes that the server sends before it waits for acknowledgements."""

ANSWER_SECONDS = 60.0
"""Seconds to wait for an answer. The server answers some requests only after it has read or written the whole
stream."""


async def save(connection: Client, stream: str, folder: Path) -> int:
    """Write a snapshot of the stream into the folder; return its last sequence number.

    Raises:
        BackupError: the server didn't send all of it.
    """
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox)
    try:
        wanted = {
            "deliver_subject": inbox,
            "chunk_size": CHUNK_BYTES,
            "window_size": WINDOW_BYTES,
            "jsck": True,  # verify the checksums of all messages first
        }
        about = await _ask(connection, f"$JS.API.STREAM.SNAPSHOT.{stream}", wanted)
        with (folder / DATA).open("xb") as file:
            while True:
                chunk = await subscription.next_msg(timeout=ANSWER_SECONDS)
                if not chunk.data:
                    break
                file.write(chunk.data)
                if chunk.reply:
                    await chunk.respond(b"")
        # On success, the last message has status 204, or no status if everything fitted into one window.
        if (status := (chunk.headers or {}).get("Status", "204")) != "204":
            raise BackupError(f"NATS aborted the snapshot of {stream}: {status} {chunk.headers}")
    except (nats.errors.Error, TimeoutError) as error:
        raise BackupError(f"NATS didn't send all of the snapshot of {stream}: {error!r}") from error
    finally:
        await subscription.unsubscribe()
    saved = {"config": about["config"], "state": about["state"]}
    (folder / ABOUT).write_text(json.dumps(saved))
    return int(about["state"]["last_seq"])


async def restore(connection: Client, stream: str, folder: Path, replicas: int) -> None:
    """Replace the stream with its snapshot. Repeating it is harmless.

    Raises:
        BackupError: the server can't restore the snapshot. The stream doesn't exist any more.
    """
    js = connection.jetstream(timeout=ANSWER_SECONDS)
    about = json.loads((folder / ABOUT).read_text())
    about["config"]["num_replicas"] = replicas
    try:
        await _delete(connection, stream)
        answer = await _ask(connection, f"$JS.API.STREAM.RESTORE.{stream}", about)
        with (folder / DATA).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                # The server answers a chunk after writing it.
                _read(await connection.request(answer["deliver_subject"], chunk, timeout=ANSWER_SECONDS))
        _read(await connection.request(answer["deliver_subject"], b"", timeout=ANSWER_SECONDS))
        last = (await js.stream_info(stream)).state.last_seq
        if last < about["state"]["last_seq"]:
            raise BackupError(f"Stream {stream} ends at {last} instead of {about['state']['last_seq']}.")
    except BackupError:
        await _delete(connection, stream)  # the server keeps a partially restored stream
        raise
    except (nats.errors.Error, TimeoutError) as error:
        raise BackupError(f"NATS didn't restore stream {stream}: {error!r}") from error


async def _delete(connection: Client, stream: str) -> None:
    try:
        await connection.jetstream(timeout=ANSWER_SECONDS).delete_stream(stream)
    except NotFoundError:
        return


async def _ask(connection: Client, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    return _read(await connection.request(subject, json.dumps(body).encode(), timeout=ANSWER_SECONDS))


def _read(answer: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.data or b"{}")
    if "error" in body:
        raise BackupError(f"NATS refuses: {body['error'].get('description', body['error'])}")
    return body

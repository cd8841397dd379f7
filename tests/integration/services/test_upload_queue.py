"""The processes that decode uploads: their limits, their environment and their end."""

import asyncio
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from kit.client_address import CLIENT
from kit.errors import Unavailable
from kit.images import upload_queue
from kit.images.results import PictureTooComplex, UnreadablePicture
from kit.images.upload_queue import PicturesBusy, UploadQueue
from kit.networks import networks_of
from tests.support.crafted_pictures import jpeg_of_empty_scans
from tests.support.polling import until
from tests.support.service import SettingsWith, new_id, serving

SLOW = jpeg_of_empty_scans(5472, scans=12_000)
"""A file that takes some 30 seconds of CPU time."""
ENDLESS = {"picture_processes": 2, "picture_scans": 0, "picture_cpu_seconds": 0, "picture_seconds": 0}
"""Settings with which such files occupy both processes."""


def picture(kind: str = "JPEG", size: tuple[int, int] = (320, 180)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind, lossless=True)
    return file.getvalue()


def contents(file: Path) -> bytes:
    """The contents of a file in /proc. Empty if its process or thread has ended."""
    with suppress(OSError):
        return file.read_bytes()
    return b""


async def decoders() -> list[Path]:
    """The folders in /proc of the decoders that this process has started."""
    tasks = Path("/proc/self/task").iterdir()
    children = [child.decode() for task in tasks for child in contents(task / "children").split()]
    return [
        Path("/proc", child)
        for child in children
        if b"kit.images.decoder" in contents(Path("/proc", child, "cmdline"))
    ]


async def test_a_picture_that_takes_too_much_cpu_time_is_refused(settings_with: SettingsWith) -> None:
    queue = UploadQueue(settings_with(picture_scans=0, picture_cpu_seconds=1, picture_seconds=0))
    with pytest.raises(PictureTooComplex):
        await queue.render(SLOW)
    assert await decoders() == []
    assert (await queue.render(picture())).small


async def test_a_picture_that_takes_too_much_memory_is_refused(settings_with: SettingsWith) -> None:
    queue = UploadQueue(settings_with(picture_memory_mb=100, picture_seconds=0))
    for kind in ("PNG", "WEBP"):
        with pytest.raises((PictureTooComplex, UnreadablePicture)):
            await queue.render(picture(kind, (16_383, 1800)))
    assert (await queue.render(picture("WEBP"))).small


async def test_a_picture_that_takes_too_long_is_refused_and_its_process_ended(
    settings_with: SettingsWith,
) -> None:
    queue = UploadQueue(settings_with(picture_scans=0, picture_cpu_seconds=0, picture_seconds=1))
    async with asyncio.timeout(20):  # less than the picture takes
        with pytest.raises(PicturesBusy):
            await queue.render(SLOW)
    assert await decoders() == []


async def test_too_many_scans_are_refused_at_once(settings_with: SettingsWith) -> None:
    queue = UploadQueue(settings_with(picture_cpu_seconds=0, picture_seconds=0))
    with pytest.raises(PictureTooComplex):
        await queue.render(SLOW)


async def test_the_picture_of_a_phone_with_50_megapixels_is_accepted(settings_with: SettingsWith) -> None:
    queue = UploadQueue(settings_with(picture_seconds=0))
    assert (await queue.render(picture("JPEG", (8160, 6120)))).small


async def test_an_upload_waits_for_its_turn_and_the_oldest_is_refused_if_too_many_wait(
    settings_with: SettingsWith,
) -> None:
    conf = settings_with(picture_processes=1, picture_queue=1, picture_scans=0, picture_seconds=0)
    queue = UploadQueue(conf)
    slow = asyncio.create_task(queue.render(SLOW))
    await until(decoders, bool)
    waiting = asyncio.create_task(queue.render(picture()))
    await asyncio.sleep(0)
    newest = asyncio.create_task(queue.render(picture()))
    with pytest.raises(PicturesBusy):
        await waiting
    await cancelled(slow)
    assert (await newest).small


@pytest.mark.parametrize("network_share", [75, 0])
async def test_uploads_of_one_network_keep_no_other_network_from_uploading(
    settings_with: SettingsWith, network_share: int
) -> None:
    """Without the share, they occupy all processes, as a control."""
    queue = UploadQueue(settings_with(**ENDLESS, picture_queue=4, network_share=network_share))
    attacker, visitor = networks_of("9.9.9.9"), networks_of("8.8.8.8")
    attack = [asyncio.create_task(queue.render(SLOW, attacker)) for _ in range(6)]
    await until(decoders, bool)
    upload = asyncio.create_task(queue.render(picture(), visitor))
    if network_share:
        async with asyncio.timeout(20):  # less than the attacker's pictures take
            assert (await upload).small
    else:
        await asyncio.wait({upload}, timeout=2)
        assert not upload.done()
    for task in (*attack, upload):
        await cancelled(task)


async def test_the_network_of_an_upload_is_that_of_its_client(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(**ENDLESS)) as tickets:

        async def upload(content: bytes, address: str) -> int:
            user, signed = new_id(), {CLIENT: tickets.app.state.vouching.sign(address)}
            body = {"title": "Hamlet", "price": 10}
            ticket = (await tickets.ask("POST", "/api/tickets", by=user, json=body)).json()
            path = f"/api/tickets/{ticket['id']}/picture"
            return (await tickets.ask("PUT", path, by=user, content=content, headers=signed)).status_code

        attack = [asyncio.create_task(upload(SLOW, "9.9.9.9")) for _ in range(3)]
        await until(decoders, bool)
        try:
            async with asyncio.timeout(20):  # less than the attacker's pictures take
                assert await upload(picture(), "8.8.8.8") == 200
        finally:
            for task in attack:
                await cancelled(task)


async def test_a_slow_picture_does_not_delay_others_while_a_process_is_free(
    settings_with: SettingsWith,
) -> None:
    queue = UploadQueue(settings_with(picture_processes=2, picture_scans=0, picture_seconds=0))
    slow = asyncio.create_task(queue.render(SLOW))
    await until(decoders, bool)
    assert (await queue.render(picture())).small
    assert not slow.done()
    await cancelled(slow)
    assert await decoders() == []


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_a_decoder_knows_no_secrets(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGO_URL", "mongodb://tickets:secret@mongo")
    slow = asyncio.create_task(UploadQueue(settings_with(picture_scans=0)).render(SLOW))
    [decoder] = await until(decoders, bool)
    try:
        names = {variable.split(b"=")[0] for variable in (decoder / "environ").read_bytes().split(b"\0")}
        assert names == {b"PYTHONPATH", b"PYTHONDONTWRITEBYTECODE", b""}
    finally:
        await cancelled(slow)


async def test_a_decoder_imports_neither_the_database_nor_the_bus() -> None:
    script = "import sys; import kit.images.decoder; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    output, _ = await process.communicate()
    packages = {module.partition(".")[0] for module in output.decode().split()}
    assert {"PIL", "kit"} <= packages
    assert not {"pymongo", "beanie", "nats", "faststream", "litestar", "settings"} & packages


async def test_a_decoder_ends_with_the_tickets_process() -> None:
    """Its standard input is closed then, and it ends without an upload."""
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *upload_queue.DECODER,
        "{}",
        stdin=read,
        stdout=asyncio.subprocess.DEVNULL,
        env=upload_queue.ENVIRONMENT,
    )
    os.close(read)
    os.close(write)
    assert await process.wait() == 0


async def test_a_decoder_that_cannot_start_is_an_outage(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = UploadQueue(settings_with())
    for command in ((sys.executable, "-c", "raise SystemExit(1)"), ("/nowhere",)):
        monkeypatch.setattr(upload_queue, "DECODER", command)
        with pytest.raises(Unavailable):
            await queue.render(picture())

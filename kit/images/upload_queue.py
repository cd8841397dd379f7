"""Runs the processes that read uploaded pictures and files: a few at a time, and one for each user."""

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit.errors import ServiceError, TooManyRequests, Unavailable
from kit.images.header import Limits
from kit.images.results import PictureTooComplex, Rendered, from_json, photo_from_json
from kit.limiter import Limiter, share_of
from kit.networks import Networks
from settings import Settings

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parents[2]
PYTHON = (sys.executable, "-P", "-W", "ignore", "-m")
DECODER = (*PYTHON, "kit.images.decoder", "sizes")
PHOTO_DECODER = (*PYTHON, "kit.images.decoder", "photo")
ENVIRONMENT = {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
"""The whole environment of a decoder. That of this process contains passwords."""

RETRY_SECONDS = 2
UNLIMITED = 1_000_000
"""The length of the queue, and the seconds in it, without a limit."""


class PictureInProgress(TooManyRequests):
    message = "Your previous upload is still being processed. Try again in a moment"


class PicturesBusy(Unavailable):
    message = "Many uploads are being processed. Try again in a moment"


class UploadQueue:
    """The uploads of this process that are received, wait or are decoded."""

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits(
            megapixels=settings.picture_megapixels,
            jpeg_megapixels=settings.picture_jpeg_megapixels,
            scans=settings.picture_scans,
            parts=settings.picture_parts,
            cpu_seconds=settings.picture_cpu_seconds,
            memory_mb=settings.picture_memory_mb,
        )
        self._timeout = settings.picture_seconds or None
        self._per_user = settings.pictures_per_user
        processes = settings.picture_processes
        self._processes = Limiter(
            processes,
            queue_size=settings.picture_queue or UNLIMITED,
            timeout=self._timeout or UNLIMITED,
            share=share_of(processes, settings.network_share),
        )
        self._uploads: Counter[str] = Counter()

    @contextmanager
    def upload_of(self, user: str) -> Iterator[None]:
        """Count an upload of this user from before its body is read until its end.

        Raises:
            PictureInProgress: the user has too many uploads already.
        """
        if self._per_user and self._uploads[user] >= self._per_user:
            raise PictureInProgress(retry_after=RETRY_SECONDS)
        self._uploads[user] += 1
        try:
            yield
        finally:
            self._uploads[user] -= 1
            if not self._uploads[user]:
                del self._uploads[user]

    async def render(self, upload: bytes, networks: Networks | None = None) -> Rendered:
        """Render an upload in a process of its own, when it is its turn. Networks share the processes fairly.

        Raises:
            PicturesBusy: the queue is full, or the upload has waited or been decoded for too long.
            NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex
        """
        output = await self.ask(DECODER, asdict(self._limits), upload, networks, PictureTooComplex)
        return from_json(output)

    async def copy_photo(self, upload: bytes, networks: Networks | None = None) -> bytes:
        """Make a copy of a whole photo, without metadata, like `render` does. It is a JPEG.

        Raises:
            PicturesBusy, NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex
        """
        output = await self.ask(PHOTO_DECODER, asdict(self._limits), upload, networks, PictureTooComplex)
        return photo_from_json(output)

    async def ask(
        self,
        command: Sequence[str],
        limits: Mapping[str, Any],
        upload: bytes,
        networks: Networks | None,
        killed: type[ServiceError],
    ) -> bytes:
        """What a process of its own answers about an upload.

        Args:
            killed: the error if the process has exceeded its limits.

        Raises:
            PicturesBusy
        """
        try:
            async with asyncio.timeout(self._timeout), self._turn(networks):
                return await self._decode((*command, json.dumps(limits)), upload, killed)
        except TimeoutError:
            raise PicturesBusy(retry_after=RETRY_SECONDS) from None

    @asynccontextmanager
    async def _turn(self, networks: Networks | None) -> AsyncIterator[None]:
        permit = await self._processes.acquire(networks)
        if permit is None:
            raise PicturesBusy(retry_after=RETRY_SECONDS)
        try:
            yield
        finally:
            permit.release()

    async def _decode(self, command: Sequence[str], upload: bytes, killed: type[ServiceError]) -> bytes:
        status, output = await _run(command, upload)
        if status == 0:
            return output
        log.warning("the decoder of an upload of %d bytes ended with %d", len(upload), status)
        if status < 0:  # ended by a signal
            raise killed
        raise Unavailable(retry_after=RETRY_SECONDS)


async def _run(command: Sequence[str], upload: bytes) -> tuple[int, bytes]:
    """Run a decoder until its end. Return its exit status and what it wrote. If cancelled, kill it."""
    try:
        decoder = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, cwd="/", env=ENVIRONMENT
        )
    except OSError as error:
        log.error("no decoder can be started: %s", error)
        raise Unavailable(retry_after=RETRY_SECONDS) from None
    try:
        output, _ = await decoder.communicate(upload)
    finally:
        if decoder.returncode is None:
            with suppress(ProcessLookupError):
                decoder.kill()
        status = await decoder.wait()
    return status, output

"""The queue of uploads, which also inspects the files of tickets."""

from dataclasses import asdict

from kit.images.upload_queue import PYTHON, UploadQueue
from kit.networks import Networks
from services.tickets.files.contents import FileLimits, FileTooComplex, Inspected, from_json
from settings import Settings

INSPECTOR = (*PYTHON, "services.tickets.files.inspector")


class InspectionQueue(UploadQueue):
    """The uploads of pictures and files of this process. They share its turns."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._file_limits = FileLimits(
            pages=settings.file_pages,
            megapixels=settings.picture_megapixels,
            jpeg_megapixels=settings.picture_jpeg_megapixels,
            scans=settings.picture_scans,
            parts=settings.picture_parts,
            cpu_seconds=settings.file_cpu_seconds,
            memory_mb=settings.picture_memory_mb,
        )

    async def inspect(self, upload: bytes, networks: Networks | None = None) -> Inspected:
        """Read a file of a ticket in a process of its own, like `render` does.

        Raises:
            PicturesBusy: the queue is full, or the file has waited or been read for too long.
            NotATicketFile, UnreadableFile, EncryptedFile, TooManyPages, FileTooComplex
        """
        output = await self.ask(INSPECTOR, asdict(self._file_limits), upload, networks, FileTooComplex)
        return from_json(output)

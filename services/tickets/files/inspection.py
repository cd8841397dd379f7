"""Reads an uploaded file: what it is, for how many persons, and which barcodes its pages show."""

import io
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium_c  # type: ignore[import-untyped]
import zxingcpp
from PIL import Image

from kit.errors import ServiceError
from kit.images.header import Limits, header_of
from kit.images.results import (
    NotAPicture,
    PictureTooComplex,
    PictureTooLarge,
    PictureTooSmall,
    UnreadablePicture,
)
from services.tickets.files.blankness import is_blank
from services.tickets.files.contents import (
    BlankFile,
    EncryptedFile,
    FileLimits,
    FileTooComplex,
    Inspected,
    NotATicketFile,
    TooManyPages,
    UnreadableFile,
)
from services.tickets.files.entries import FileKind
from services.tickets.files.passes import inspect_pass

DOTS_PER_INCH = (150, 300)
"""Resolutions at which a page is rendered. The higher one is tried if the lower one shows no barcode."""
MAX_PAGE_PIXELS = 4_000_000
MAX_IMAGE_SIDE = 3000
"""A photo of a ticket is reduced to this size before its barcodes are read."""
MIN_CODE_LENGTH = 4
"""Shorter contents are stripes that only look like a barcode."""
MAX_CODES_A_SEAT = 10
"""A ticket may show several barcodes. Each of them keeps others from listing a ticket with that code."""

# Turn off Pillow's own limit: the header is checked before Pillow opens the file.
Image.MAX_IMAGE_PIXELS = None

_ADDRESS = re.compile(r"(?:https?://|www\.)\S*", re.IGNORECASE)
_SECRET = re.compile(r"(?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{10,}")
"""A part of an address that may admit somebody. Other addresses are advertisements."""

Codes = Sequence[tuple[str, str]]
"""The format and the content of each barcode of a page."""


@dataclass(frozen=True)
class Seen:
    """What a page shows."""

    codes: Codes
    is_blank: bool = False


def inspect(upload: bytes, limits: FileLimits) -> Inspected:
    """Check a file, whose kind is detected from its content, because names and media types may be wrong.

    Raises:
        NotATicketFile, UnreadableFile, EncryptedFile, TooManyPages, BlankFile, FileTooComplex
    """
    try:
        if upload.startswith(b"%PDF-"):
            return _inspected("pdf", [_seen_on_page(page) for page in _pages(upload, limits)])
        if upload.startswith(b"\x89PNG\r\n\x1a\n"):
            return _inspected("png", [_seen_on(_image(upload, limits))])
        if upload.startswith(b"\xff\xd8\xff"):
            return _inspected("jpeg", [_seen_on(_image(upload, limits))])
        if upload.startswith(b"PK\x03\x04"):
            return _inspected("pkpass", [Seen(inspect_pass(upload))])
    except ServiceError:
        raise
    except MemoryError:
        raise FileTooComplex from None
    except Exception as error:  # decoders raise all kinds of errors for malicious files
        raise UnreadableFile from error
    raise NotATicketFile


def seats_on(pages: Sequence[Codes]) -> int:
    """For how many persons these pages are.

    A page may show the same ticket in several formats. Several codes of one format are several tickets. Pages
    without a code belong to those with one, such as terms. If no page has a code, each of them counts as one.
    Empty pages aren't among them.
    """
    tickets: set[str] = set()
    for page in pages:
        formats: defaultdict[str, set[str]] = defaultdict(set)
        for name, content in page:
            formats[name].add(content)
        tickets |= max(formats.values(), key=len, default=set())
    return len(tickets) or len(pages)


def _inspected(kind: FileKind, seen: Iterable[Seen]) -> Inspected:
    # An empty back isn't a ticket.
    pages = [[code for code in page.codes if _admits(code[1])] for page in seen if not page.is_blank]
    if not pages:
        raise BlankFile
    seats, codes = seats_on(pages), sorted({content for page in pages for _, content in page})
    if len(codes) > seats * MAX_CODES_A_SEAT:
        raise FileTooComplex("The file has too many barcodes. Upload only the pages of the tickets")
    return Inspected(kind, seats, codes)


def _admits(content: str) -> bool:
    """Whether the content of a barcode may admit somebody."""
    if len(content) < MIN_CODE_LENGTH:
        return False
    return _ADDRESS.fullmatch(content) is None or _SECRET.search(content) is not None


def _pages(upload: bytes, limits: FileLimits) -> Iterator[pdfium.PdfPage]:
    try:
        document = pdfium.PdfDocument(upload)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
            raise EncryptedFile from error
        raise UnreadableFile from error
    count = len(document)
    if 0 < limits.pages < count:
        raise TooManyPages(
            f"The file has {count} pages, and at most {limits.pages} are allowed. "
            "Upload only the pages of the tickets"
        )
    if not count:
        raise UnreadableFile
    for number in range(count):
        page = document[number]
        yield page
        page.close()


def _seen_on_page(page: pdfium.PdfPage) -> Seen:
    width, height = page.get_size()
    if not (width > 0 and height > 0 and math.isfinite(width * height)):
        raise UnreadableFile
    found = Seen([])
    most = math.sqrt(MAX_PAGE_PIXELS / (width * height))
    for dots in DOTS_PER_INCH:
        # A page of 200 inches must not take more memory than one of A4.
        bitmap = page.render(scale=min(dots / 72, most), grayscale=True, may_draw_forms=False)
        found = _seen_on(bitmap.to_pil())
        if found.codes or found.is_blank or dots / 72 >= most:
            break
    return found


def _image(upload: bytes, limits: FileLimits) -> Image.Image:
    try:
        header = header_of(upload)
        header.check(Limits(limits.megapixels, limits.jpeg_megapixels, limits.scans, limits.parts))
    except (PictureTooLarge, PictureTooComplex) as error:
        raise FileTooComplex(error.detail) from error
    except (UnreadablePicture, NotAPicture, PictureTooSmall) as error:
        raise UnreadableFile from error
    with Image.open(io.BytesIO(upload), formats=[header.format]) as image:
        if image.size != (header.width, header.height):  # the file contradicts itself
            raise UnreadableFile
        image.draft("L", (MAX_IMAGE_SIDE, MAX_IMAGE_SIDE))
        image.load()
        if image.mode in ("RGBA", "LA", "P", "PA"):
            gray = Image.new("RGBA", image.size, "white")
            gray.alpha_composite(image.convert("RGBA"))
            gray = gray.convert("L")
        else:
            gray = image.convert("L")
    gray.thumbnail((MAX_IMAGE_SIDE, MAX_IMAGE_SIDE))
    return gray


def _seen_on(image: Image.Image) -> Seen:
    codes = [
        (str(found.format), found.text.strip())
        for found in zxingcpp.read_barcodes(image)
        if found.valid and found.text.strip()
    ]
    return Seen(codes, is_blank=not codes and is_blank(image))

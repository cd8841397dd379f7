"""The files that a seller chooses in the form that lists a ticket. They follow once the ticket is listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from litestar.datastructures import UploadFile

from contracts.api import FileList, Ticket
from web.api_client import Refused, ServiceDown
from web.page_context import Page
from web.rendering.texts import N_, _

TOO_LARGE_TOGETHER = N_(
    "The files are too large together. Choose at most 10 MB, and add the others when the ticket is listed"
)

NOT_SAVED = "not-saved"
REASONS = {
    "not-a-ticket-file": N_("It must be a PDF, PNG, JPEG or Apple Wallet pass"),
    "unreadable-file": N_("It can't be read, and may be damaged"),
    "encrypted-file": N_("It is protected by a password. Save a copy without one"),
    "too-many-pages": N_("It has too many pages. Upload only the pages of the tickets"),
    "file-too-complex": N_("It takes too long to check. Save it with another program, or try another one"),
    "blank-file": N_("It is empty: there is nothing to see on it"),
    "too-many-files": N_("The listing has as many files as allowed"),
    "quantity-exceeded": N_("With it there would be more tickets than in the listing"),
    "code-taken": N_("This ticket is in another listing already, or was sold here"),
    "files-final": N_("The files of this ticket can't change any more"),
    NOT_SAVED: N_("It couldn't be saved. Choose it again"),
}
"""Why a file was refused, by the name of the service's error. The address of the page of the files has that
name, because a page must not show texts that its address contains."""

MAX_SHOWN = 20


@dataclass(frozen=True)
class Chosen:
    """A file of the form."""

    number: int
    """Its place among the chosen files, from 1."""
    content: bytes


@dataclass(frozen=True)
class Outcome:
    """What has become of the files."""

    refused: Sequence[tuple[int, str]]
    """The number of each refused file, and the reason."""
    files: FileList | None
    """The files of the ticket. None if the service doesn't respond."""


async def chosen_files(data: Any) -> Sequence[Chosen]:
    """The files of the form. A field without a choice is none."""
    contents = [await each.read() for each in data.getall("files", []) if isinstance(each, UploadFile)]
    return [Chosen(number, content) for number, content in enumerate(filter(None, contents), 1)]


async def attach_files(page: Page, ticket: Ticket, chosen: Sequence[Chosen]) -> Outcome:
    """Add the files to a listed ticket, unless it has files: then the form was sent twice.

    Each file is added or refused by itself. Of two forms that are sent at the same moment, the service
    accepts the files of one, and the listing is complete after the other.
    """
    known = await page.optional(page.api.files_of(ticket.id))
    if known is not None and known.files:
        return Outcome((), known)
    refused: list[tuple[int, str]] = []
    for file in chosen:
        reason = await _attach(page, ticket, file.content) if known is not None else NOT_SAVED
        if reason is not None:
            refused.append((file.number, reason))
    files = await page.optional(page.api.files_of(ticket.id)) if known is not None else None
    if files is not None and files.files_ready_at is not None and len(refused) == len(chosen):
        return Outcome((), files)
    return Outcome(refused, files)


async def _attach(page: Page, ticket: Ticket, content: bytes) -> str | None:
    """Add a file. Return a key of `REASONS` if it was refused."""
    try:
        await page.api.add_file(ticket.id, content)
    except ServiceDown:
        return NOT_SAVED
    except Refused as refused:
        name = refused.problem.type.rpartition("/")[2]
        return name if name in REASONS else NOT_SAVED
    return None


def page_after(ticket: Ticket, outcome: Outcome, picture: str | None = None) -> str:
    """The address of the page after the listing: that of the files while the seller has to look at them.

    Args:
        picture: the reason why the picture was refused, if it was.
    """
    files = outcome.files
    is_complete = files is not None and files.files_ready_at is not None
    has_codes = files is not None and all(file.code_found for file in files.files)
    if is_complete and has_codes and not outcome.refused:
        edit = f"/tickets/{ticket.id}/edit?listed&picture={picture}"
        return edit if picture else f"/tickets/{ticket.id}"
    told = [("refused", f"{number}.{reason}") for number, reason in outcome.refused]
    query = urlencode([*told, *([("picture", picture)] if picture else [])])
    return f"/tickets/{ticket.id}/files?listed" + (f"&{query}" if query else "")


def refusals(given: Sequence[str]) -> tuple[str, ...]:
    """The messages about refused files, from the address of the page. Unknown reasons are left out."""
    found = []
    for text in given[:MAX_SHOWN]:
        number, _dot, reason = text.partition(".")
        if number.isascii() and number.isdigit() and len(number) < 3 and reason in REASONS:
            why = _(REASONS[reason])
            found.append(_("File %(number)s was refused. %(reason)s", number=number, reason=why))
    return tuple(found)

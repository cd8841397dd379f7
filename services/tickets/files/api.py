"""HTTP API of the files of tickets."""

from typing import Annotated, cast

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Schema
from litestar.params import PathParameter

from contracts.api import FileList, TicketFile
from contracts.tickets import MAX_FILE_BYTES
from kit.errors import AccountClosed
from kit.http.guards import signed_in
from kit.http.limits import Limited
from kit.http.openapi import SIGNED_IN, ApiOperation, PathId, problems, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.images.upload_queue import PictureInProgress, PicturesBusy
from kit.networks import networks_of
from kit.sealing import FileDamaged, FileKeyLost
from services.tickets.files import actions
from services.tickets.files.contents import ERRORS, MEDIA_TYPES
from services.tickets.files.inspection_queue import InspectionQueue
from services.tickets.files.rules import (
    CodeTaken,
    FilesFinal,
    NotTheFilesOwner,
    QuantityExceeded,
    TooManyFiles,
)
from services.tickets.files.vault import Vault
from services.tickets.rules import NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
from settings import Settings

_BINARY = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""Of a download. A browser stores it as a file, and never shows it as a page of the marketplace."""


class UploadOperation(ApiOperation):
    accepts = dict.fromkeys((*MEDIA_TYPES.values(), "application/octet-stream"), _BINARY)


class DownloadOperation(ApiOperation):
    def __post_init__(self) -> None:
        super().__post_init__()
        responses = cast("dict[str, OpenAPIResponse]", self.responses)
        responses["200"].content = dict.fromkeys(MEDIA_TYPES.values(), OpenAPIMediaType(schema=_BINARY))


# Only documented, not checked, because another path is a 404 rather than a 400.
PathFile = Annotated[str, PathParameter(schema_extra={"pattern": "^[0-9a-f]{32}$", "examples": ["ab" * 16]})]


@get(
    "/{ticket_id:str}/files",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="The files of a ticket",
    responses=refusals(NotTheFilesOwner),
)
async def list_files(request: ApiRequest, ticket_id: PathId) -> Response[FileList]:
    """Only its seller sees them, and its buyer after paying. The content is sealed until then."""
    return ModelResponse(await actions.show(ticket_id, request.user.id))


@post(
    "/{ticket_id:str}/files",
    guards=[signed_in, Limited("upload-file", "rate_upload")],
    security=SIGNED_IN,
    request_max_body_size=MAX_FILE_BYTES,
    operation_class=UploadOperation,
    summary="Add a file to a ticket",
    responses={
        **refusals(
            *ERRORS,
            *(NotTheSeller, TicketWithdrawn, FilesFinal, TooManyFiles, QuantityExceeded, CodeTaken),
            *(AccountClosed, PictureInProgress, PicturesBusy, FileKeyLost),
        ),
        **problems({413: "The file is larger than 10 MB"}),
    },
)
async def add_file(
    request: ApiRequest,
    ticket_id: PathId,
    upload_queue: NamedDependency[InspectionQueue],
    vault: NamedDependency[Vault],
) -> Response[TicketFile]:
    """The body is a PDF, PNG, JPEG or Apple Wallet pass. Its barcodes must not be in another listing. Nobody
    can read the file until the ticket is sold, and then only its buyer. Once the files are for as many
    persons as the listing, `delivery` is `instant`."""
    user = request.user.id
    await actions.check_may_add(ticket_id, user)
    with upload_queue.upload_of(user):
        content = await request.body()
        inspected = await upload_queue.inspect(content, networks_of(request.client_address))
        return ModelResponse(await actions.add(vault, ticket_id, user, inspected, content))


@get(
    "/{ticket_id:str}/files/{file_id:str}",
    guards=[signed_in, Limited("read-file", "rate_change")],
    security=SIGNED_IN,
    operation_class=DownloadOperation,
    summary="The content of a file",
    responses=refusals(NotTheFilesOwner, FileKeyLost, FileDamaged),
)
async def read_file(
    request: ApiRequest,
    ticket_id: PathId,
    file_id: PathFile,
    vault: NamedDependency[Vault],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Only the buyer of a ticket that is paid and not refunded. Each access is recorded."""
    user, days = request.user.id, settings.file_days
    file, number, content = await actions.read(vault, ticket_id, user, file_id, days)
    name = f"ticket-{number}.{file.kind}"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=MEDIA_TYPES[file.kind])


@delete(
    "/{ticket_id:str}/files/{file_id:str}",
    guards=[signed_in, Limited("remove-file", "rate_change")],
    security=SIGNED_IN,
    summary="Remove a file from a ticket",
    responses=refusals(NotTheSeller, TicketReserved, TicketSold),
)
async def remove_file(request: ApiRequest, ticket_id: PathId, file_id: PathFile) -> None:
    """Repeating it changes nothing. The files of a reserved or sold ticket stay."""
    await actions.remove(ticket_id, request.user.id, file_id)


ROUTES = (list_files, add_file, read_file, remove_file)

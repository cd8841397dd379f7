"""HTTP API of pictures."""

from typing import Annotated, cast

from litestar import Response, delete, get, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Schema
from litestar.params import PathParameter

from contracts.api import Ticket as TicketView
from contracts.tickets import MAX_PICTURE_BYTES
from kit.http.guards import signed_in
from kit.http.limits import Limited
from kit.http.openapi import SIGNED_IN, ApiOperation, PathId, problems, refusals
from kit.http.request import ApiRequest
from kit.images.results import (
    NotAPicture,
    PictureTooComplex,
    PictureTooLarge,
    PictureTooSmall,
    UnreadablePicture,
)
from kit.images.upload_queue import PictureInProgress, PicturesBusy, UploadQueue
from kit.networks import networks_of
from services.tickets import actions, pictures
from services.tickets.rules import NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
from services.tickets.views import view_of

WEBP = "image/webp"


_BINARY = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
"""The bytes of a picture, as code generators know it."""


class UploadOperation(ApiOperation):
    accepts = dict.fromkeys(("image/jpeg", "image/png", WEBP), _BINARY)


class PictureOperation(ApiOperation):
    def __post_init__(self) -> None:
        super().__post_init__()
        responses = cast("dict[str, OpenAPIResponse]", self.responses)
        responses["200"].content = {WEBP: OpenAPIMediaType(schema=_BINARY)}


# Both are only documented, not checked, because another path is a 404 rather than a 400.
PictureName = Annotated[str, PathParameter(schema_extra={"pattern": "^[0-9A-Za-z_-]{1,100}$"})]
Size = Annotated[str, PathParameter(schema_extra={"enum": ["small", "large"]})]

_ERRORS = (NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn)


@put(
    "/{ticket_id:str}/picture",
    guards=[signed_in, Limited("upload", "rate_upload")],
    security=SIGNED_IN,
    request_max_body_size=MAX_PICTURE_BYTES,
    operation_class=UploadOperation,
    summary="Set a ticket's picture",
    responses={
        **refusals(
            *(UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex, NotAPicture),
            *(*_ERRORS, PictureInProgress, PicturesBusy),
        ),
        **problems({413: "The picture is larger than 5 MB"}),
    },
)
async def set_picture(
    request: ApiRequest, ticket_id: PathId, upload_queue: NamedDependency[UploadQueue]
) -> TicketView:
    """The body is a JPEG, PNG or WebP picture of at most 5 MB. Its metadata is removed, and the picture is
    cropped to 16:9 around its center."""
    user = request.user.id
    await actions.check_may_edit(ticket_id, user)
    with upload_queue.upload_of(user):
        networks = networks_of(request.client_address)
        picture = await upload_queue.render(await request.body(), networks)
        return view_of(await actions.set_picture(ticket_id, user, picture), user)


@delete(
    "/{ticket_id:str}/picture",
    guards=[signed_in, Limited("remove-picture", "rate_change")],
    security=SIGNED_IN,
    summary="Remove a ticket's picture",
    responses=refusals(*_ERRORS),
)
async def remove_picture(request: ApiRequest, ticket_id: PathId) -> None:
    await actions.remove_picture(ticket_id, request.user.id)


@get(
    "/pictures/{name:str}/{size:str}",
    exclude_from_auth=True,
    media_type=WEBP,
    operation_class=PictureOperation,
    summary="A picture, `small` or `large`",
    responses={304: ResponseSpec(None, description="The picture that `If-None-Match` names")},
)
async def show_picture(request: ApiRequest, name: PictureName, size: Size) -> Response[bytes]:
    """A WebP picture of 480 by 270 or 1280 by 720 pixels. The picture with a given name never changes."""
    etag = f'"{name}-{size}"'
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    picture = await pictures.read(name, size)
    if etag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers, media_type=WEBP)
    return Response(picture, headers=headers, media_type=WEBP)


ROUTES = (set_picture, remove_picture, show_picture)

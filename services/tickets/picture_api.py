"""HTTP API of pictures."""

from litestar import Response, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.api import Ticket as TicketView
from contracts.tickets import MAX_PICTURE_BYTES
from kit.http.guards import signed_in
from kit.http.limits import Limited
from kit.http.openapi import SIGNED_IN, ApiOperation, PathId, problems
from kit.http.request import ApiRequest
from kit.networks import networks_of
from services.tickets import actions, pictures
from services.tickets.images.upload_queue import UploadQueue
from services.tickets.views import view_of

WEBP = "image/webp"


class UploadOperation(ApiOperation):
    accepts = ("image/jpeg", "image/png", WEBP)


@put(
    "/{ticket_id:str}/picture",
    guards=[signed_in, Limited("upload", "rate_upload")],
    security=SIGNED_IN,
    request_max_body_size=MAX_PICTURE_BYTES,
    operation_class=UploadOperation,
    summary="Set a ticket's picture",
    responses=problems(
        {413: "The picture is larger than 5 MB", 415: "The picture is not a JPEG, PNG or WebP"}
    ),
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
)
async def remove_picture(request: ApiRequest, ticket_id: PathId) -> None:
    await actions.remove_picture(ticket_id, request.user.id)


@get(
    "/pictures/{name:str}/{size:str}",
    exclude_from_auth=True,
    media_type=WEBP,
    summary="A picture, `small` or `large`",
)
async def show_picture(request: ApiRequest, name: FromPath[str], size: FromPath[str]) -> Response[bytes]:
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

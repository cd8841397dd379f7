"""HTTP ↔ the pictures of tickets."""

from litestar import Response, delete, get, put
from litestar.params import FromPath

from contracts.api import Ticket as TicketView
from services.kit.http import SIGNED_IN, ApiRequest, problems, signed_in
from services.kit.limits import limit
from services.tickets import actions, pictures
from services.tickets.images import MAX_BYTES
from services.tickets.views import view_of
from settings import Settings

WEBP = "image/webp"


@put(
    "/{ticket_id:str}/picture",
    guards=[signed_in],
    security=SIGNED_IN,
    request_max_body_size=MAX_BYTES,
    summary="Give a ticket of mine a picture",
    responses=problems({413: "It has more than 5 MB", 415: "It is no JPEG, PNG or WebP"}),
)
async def give_picture(request: ApiRequest, ticket_id: FromPath[str]) -> TicketView:
    """The body is the picture: a JPEG, PNG or WebP of at most 5 MB. It is shown without its metadata, cut to
    16:9 around its middle."""
    # All of it first: some clients lose an answer that comes while they still send.
    upload = await request.body()
    settings: Settings = request.app.state.settings
    await limit("upload", request.user.id, settings.rate_upload)
    await actions.check_may_edit(ticket_id, request.user.id)
    return view_of(await actions.give_picture(ticket_id, request.user.id, upload))


@delete("/{ticket_id:str}/picture", guards=[signed_in], security=SIGNED_IN, summary="Take its picture away")
async def take_picture(request: ApiRequest, ticket_id: FromPath[str]) -> None:
    await actions.take_picture(ticket_id, request.user.id)


@get("/pictures/{name:str}/{size:str}", media_type=WEBP, summary="A picture, `small` or `large`")
async def show_picture(request: ApiRequest, name: FromPath[str], size: FromPath[str]) -> Response[bytes]:
    """A name always means the same picture: 480 by 270 or 1280 by 720 pixels, WebP."""
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


ROUTES = (give_picture, take_picture, show_picture)

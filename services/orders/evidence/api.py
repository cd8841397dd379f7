"""HTTP API of the photos of reported problems."""

from typing import Annotated, cast

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Schema
from litestar.params import PathParameter

from contracts.api import ReportPhoto
from contracts.tickets import MAX_FILE_BYTES
from kit.errors import AccountClosed
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import OPERATORS, SIGNED_IN, ApiOperation, PathId, problems, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.images.results import (
    NotAPicture,
    PictureTooComplex,
    PictureTooLarge,
    PictureTooSmall,
    UnreadablePicture,
)
from kit.images.upload_queue import PictureInProgress, PicturesBusy, UploadQueue
from kit.networks import networks_of
from kit.sealing import FileDamaged, FileKeyLost, Keys
from kit.security_log import OPERATOR, record
from services.orders.evidence import actions
from services.orders.evidence.rules import NotYourOrder, PhotosFinal, TooManyPhotos
from services.orders.problems import NothingToAnswer, NothingToReport, TooLateToAnswer, TooLateToReport
from services.orders.views import photo_view

_BINARY = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
_JPEG = "image/jpeg"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Disposition": 'inline; filename="photo.jpg"',
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""Of a photo. It is a picture that this service has made, and never shown as a page of the marketplace."""


class UploadOperation(ApiOperation):
    accepts = dict.fromkeys((_JPEG, "image/png", "image/webp"), _BINARY)


class PhotoOperation(ApiOperation):
    def __post_init__(self) -> None:
        super().__post_init__()
        responses = cast("dict[str, OpenAPIResponse]", self.responses)
        responses["200"].content = {_JPEG: OpenAPIMediaType(schema=_BINARY)}


# Only documented, not checked, because another path is a 404 rather than a 400.
PathPhoto = Annotated[str, PathParameter(schema_extra={"pattern": "^[0-9a-f]{32}$", "examples": ["ab" * 16]})]

_NOT_NOW = (
    *(NotYourOrder, PhotosFinal),
    *(NothingToReport, TooLateToReport, NothingToAnswer, TooLateToAnswer),
)


@post(
    "/{order_id:str}/problem/photos",
    guards=[Limited("upload-photo", "rate_upload")],
    request_max_body_size=MAX_FILE_BYTES,
    operation_class=UploadOperation,
    summary="Add a photo to a report or an answer",
    responses={
        **refusals(
            *(NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex),
            *(*_NOT_NOW, TooManyPhotos, AccountClosed, PictureInProgress, PicturesBusy),
        ),
        **problems({413: "The photo is larger than 10 MB"}),
    },
)
async def add_photo(
    request: ApiRequest,
    order_id: PathId,
    upload_queue: NamedDependency[UploadQueue],
    photo_keys: NamedDependency[Keys],
) -> Response[ReportPhoto]:
    """The body is a JPEG, PNG or WebP. The buyer adds photos before the report, and the seller before the
    answer; the other side sees them after that. A copy without metadata is stored."""
    user = request.user.id
    await actions.check_may_add(order_id, user)
    with upload_queue.upload_of(user):
        upload = await request.body()
        copy = await upload_queue.copy_photo(upload, networks_of(request.client_address))
        return ModelResponse(photo_view(await actions.add(photo_keys, order_id, user, upload, copy)))


@get(
    "/{order_id:str}/problem/photos/{photo_id:str}",
    guards=[Limited("read-photo", "rate_change")],
    operation_class=PhotoOperation,
    summary="The content of a photo",
    responses=refusals(NotYourOrder, FileKeyLost, FileDamaged),
)
async def read_photo(
    request: ApiRequest, order_id: PathId, photo_id: PathPhoto, photo_keys: NamedDependency[Keys]
) -> Response[bytes]:
    """For the buyer and the seller of the order."""
    return _photo(await actions.read(photo_keys, order_id, request.user.id, photo_id))


@delete(
    "/{order_id:str}/problem/photos/{photo_id:str}",
    guards=[Limited("remove-photo", "rate_change")],
    summary="Remove a photo that wasn't sent yet",
    responses=refusals(*_NOT_NOW),
)
async def remove_photo(request: ApiRequest, order_id: PathId, photo_id: PathPhoto) -> None:
    """By who added it. Repeating it changes nothing."""
    await actions.remove(order_id, request.user.id, photo_id)


@get(
    "/problems/{order_id:str}/photos/{photo_id:str}",
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    operation_class=PhotoOperation,
    summary="A photo of a reported problem",
    responses=refusals(FileKeyLost, FileDamaged),
)
async def read_photo_as_operator(
    order_id: PathId, photo_id: PathPhoto, photo_keys: NamedDependency[Keys]
) -> Response[bytes]:
    """Each access is recorded in the security log."""
    content = await actions.read_by_operator(photo_keys, order_id, photo_id)
    record("problem-photo", "success", actor=OPERATOR, order=order_id, photo=photo_id)
    return _photo(content)


def _photo(content: bytes) -> Response[bytes]:
    return Response(content, headers=HEADERS, media_type=_JPEG)


EVIDENCE_API = [
    Router(
        "/api/orders",
        route_handlers=[add_photo, read_photo, remove_photo],
        guards=[signed_in],
        security=SIGNED_IN,
        tags=["orders"],
    ),
    Router("/api/orders", route_handlers=[read_photo_as_operator], tags=["orders"]),
]

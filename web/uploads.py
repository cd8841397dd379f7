"""Forms that carry a file."""

from typing import Any

from litestar import Request, Response
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from web.bodies import LARGEST

MAX_PICTURE_FORM_BYTES = LARGEST


def far_too_large(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Nothing of its body is kept, so nothing is known but the address. The door has read it to its end."""
    ticket_id = request.path_params.get("ticket_id")
    form = f"/tickets/{ticket_id}/edit" if ticket_id else "/sell"
    return Redirect(f"{form}?picture=too-large", status_code=303)


async def content_of(upload: object) -> bytes:
    return await upload.read() if isinstance(upload, UploadFile) else b""

"""Forms that carry a file."""

import asyncio
from contextlib import suppress
from typing import Any

from litestar import Request, Response
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException
from litestar.response import Redirect
from litestar.types import Receive, Scope, Send

MAX_PICTURE_FORM_BYTES = 6_000_000
MOST_DROPPED_BYTES = 50_000_000
MOST_DROPPED_SECONDS = 60


class _OnceItIsSent(Redirect):
    """Browsers lose an answer that comes while they still send: what they send is read, and dropped."""

    def to_asgi_response(self, *args: Any, **options: Any) -> Any:
        answer = super().to_asgi_response(*args, **options)

        async def read_and_answer(scope: Scope, receive: Receive, send: Send) -> None:
            left, more = MOST_DROPPED_BYTES, True
            with suppress(TimeoutError):
                async with asyncio.timeout(MOST_DROPPED_SECONDS):
                    while more and left > 0:
                        message = await receive()
                        left -= len(message.get("body", b""))  # type: ignore[arg-type] # of http.request only
                        more = bool(message.get("more_body"))
            await answer(scope, receive, send)

        return read_and_answer


def far_too_large(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Nothing of its body is kept, so nothing is known but the address."""
    ticket_id = request.path_params.get("ticket_id")
    form = f"/tickets/{ticket_id}/edit" if ticket_id else "/sell"
    return _OnceItIsSent(f"{form}?picture=too-large", status_code=303)


async def content_of(upload: object) -> bytes:
    return await upload.read() if isinstance(upload, UploadFile) else b""

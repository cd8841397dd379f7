"""Responses whose content is a pydantic model, and how long responses may be kept."""

from typing import Any, TypeVar

from litestar import Response
from litestar.datastructures import MutableScopeHeaders
from litestar.serialization import default_serializer
from litestar.types import Message, Scope, Serializer

from contracts.wire import Wire

T = TypeVar("T")


class ModelResponse(Response[T]):
    """Lets pydantic write a model, or a list of models, as JSON.

    Litestar would turn each model into a dictionary first, which takes several times the CPU time. It also
    doesn't know that a model's `to_json` may leave out fields.
    """

    def render(self, content: Any, media_type: str, enc_hook: Serializer = default_serializer) -> bytes:
        if isinstance(content, Wire):
            return content.to_json().encode()
        if isinstance(content, list) and all(isinstance(each, Wire) for each in content):
            return f"[{','.join([each.to_json() for each in content])}]".encode()
        return super().render(content, media_type, enc_hook)


async def forbid_storing(message: Message, scope: Scope) -> None:
    """Keep browsers and proxies from storing a response that doesn't say itself whether they may.

    Most responses depend on the caller. The page cache decides about those that don't.
    """
    if message["type"] == "http.response.start":
        MutableScopeHeaders.from_message(message).setdefault("Cache-Control", "no-store")

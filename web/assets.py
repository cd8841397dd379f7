"""Styles, scripts and icons: each under a name with a hash of its content, so that browsers keep it for good.

All styles are one file, and so are all scripts: a first visit asks for few things, and no build step is
needed. They are read when the process starts, and served from memory.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Response

STATIC = Path(__file__).parent.parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"

_HASHED = re.compile(r"(?P<stem>\w+)\.(?P<hash>[0-9a-f]{12})(?P<suffix>\.\w+)", re.ASCII)


@dataclass(frozen=True)
class Asset:
    address: str
    content: bytes
    compressed: bytes
    media_type: str

    @property
    def hash(self) -> str:
        return self.address.split(".")[1]


def _asset(name: str, content: bytes) -> Asset:
    stem, _, suffix = name.partition(".")
    address = f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
    compressed = gzip.compress(content, 9, mtime=0)
    return Asset(address, content, compressed, f"{MEDIA_TYPES[f'.{suffix}']}; charset=utf-8")


def _joined(*paths: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in paths)


def _read() -> dict[str, Asset]:
    """Scripts are joined by name: live-stream, live-tabs and live build on each other, all others on them."""
    contents = {
        "app.css": _joined(*sorted((STATIC / "css").glob("*.css"))),
        "app.js": _joined(STATIC / "vendor" / "htmx" / "htmx.min.js", *sorted((STATIC / "js").glob("*.js"))),
        **{path.name: path.read_bytes() for path in (STATIC / "icons").glob("*.svg")},
    }
    return {name: _asset(name, content) for name, content in contents.items()}


ASSETS = _read()


@get("/static/{name:str}", opt={"exclude_from_csrf": True, "exclude_from_metrics": True})
async def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """An asset by its hashed name.

    While copies of different versions run, a page of one may ask the other for a hash that it hasn't: what it
    has under that name is better than nothing, but isn't kept.
    """
    match = _HASHED.fullmatch(name)
    found = ASSETS.get(match["stem"] + match["suffix"]) if match else None
    if match is None or found is None:
        raise NotFoundException
    is_current = match["hash"] == found.hash
    headers = {"Cache-Control": FOR_GOOD if is_current else "no-store", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=found.media_type, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)

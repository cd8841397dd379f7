"""Serves styles, scripts and icons at addresses with a hash of the content, so that browsers cache them.

There is no build step: files are read and compressed when the process starts and served from memory. All
styles are one file. Scripts are ES modules.
"""

import gzip
import hashlib
import re
from asyncio import to_thread
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Response

STATIC = Path(__file__).parents[2] / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CACHE_FOREVER = "public, max-age=31536000, immutable"

_HASHED = re.compile(r"(?P<stem>[\w-]+)\.(?P<hash>[0-9a-f]{12})(?P<suffix>\.\w+)", re.ASCII)
_IMPORT = re.compile(r"""(?P<keyword>\b(?:from|import)\s*)"(?P<path>\.{1,2}/[\w./-]+\.js)\"""")


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


def read_modules(entry: Path) -> dict[str, Asset]:
    """The entry module and all modules that it imports, by file name. A module comes after its imports.

    The content security policy forbids import maps, so every import names the hashed address. A change of a
    module therefore also changes the addresses of its importers. Cyclic imports raise CycleError.
    """
    sources: dict[Path, str] = {}
    _read_with_imports(entry, sources)
    imports = {path: _imports_of(path, source) for path, source in sources.items()}
    modules: dict[Path, Asset] = {}
    for path in TopologicalSorter(imports).static_order():
        content = _with_hashed_imports(path, sources[path], modules)
        modules[path] = _asset(path.name, content.encode())
    by_name = {path.name: module for path, module in modules.items()}
    if len(by_name) < len(modules):
        raise ValueError("two modules have the same file name")
    return by_name


def _read_with_imports(path: Path, sources: dict[Path, str]) -> None:
    if path not in sources:
        sources[path] = path.read_text()
        for imported in _imports_of(path, sources[path]):
            _read_with_imports(imported, sources)


def _imports_of(path: Path, source: str) -> list[Path]:
    return [(path.parent / match["path"]).resolve() for match in _IMPORT.finditer(source)]


def _with_hashed_imports(path: Path, source: str, modules: Mapping[Path, Asset]) -> str:
    def hashed(match: re.Match[str]) -> str:
        imported = modules[(path.parent / match["path"]).resolve()]
        return f'{match["keyword"]}"{imported.address}"'

    return _IMPORT.sub(hashed, source)


def _styles() -> bytes:
    """All styles as one file. `layers.css` comes first because it defines the order of the cascade layers."""
    first = STATIC / "css" / "layers.css"
    others = sorted(path for path in (STATIC / "css").rglob("*.css") if path != first)
    return b"\n".join(path.read_bytes() for path in (first, *others))


MODULES: Mapping[str, Asset] = read_modules(STATIC / "js" / "main.js")
ASSETS: Mapping[str, Asset] = {
    **MODULES,
    "app.css": _asset("app.css", _styles()),
    "htmx.js": _asset("htmx.js", (STATIC / "vendor" / "htmx" / "htmx.min.js").read_bytes()),
    **{path.name: _asset(path.name, path.read_bytes()) for path in (STATIC / "icons").glob("*.svg")},
}


_REFERENCE = {
    path.name: path
    for path in (
        STATIC / "vendor" / "swagger-ui" / "swagger-ui-bundle.js",
        STATIC / "vendor" / "swagger-ui" / "swagger-ui.css",
        STATIC / "docs" / "openapi.js",
        STATIC / "docs" / "docs.css",
    )
}
"""Files of Swagger UI by name. They are megabytes that few people need, so each is compressed when it is
first requested."""


@cache
def find(name: str) -> Asset | None:
    """The asset with this file name; None if there is none."""
    if name in _REFERENCE:
        return _asset(name, _REFERENCE[name].read_bytes())
    return ASSETS.get(name)


def address(name: str) -> str:
    """The address of an asset with the hash of its content.

    Raises:
        KeyError: there is no such asset.
    """
    if (found := find(name)) is None:
        raise KeyError(name)
    return found.address


@get("/static/{name:str}", opt={"exclude_from_metrics": True})
async def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """The asset with this hashed name.

    During a deployment, a page of one version may request an asset from a process of another version. The
    response is then that process's version of the asset, which the browser must not cache.
    """
    match = _HASHED.fullmatch(name)
    found = await to_thread(find, match["stem"] + match["suffix"]) if match else None
    if match is None or found is None:
        raise NotFoundException
    is_current = match["hash"] == found.hash
    headers = {"Cache-Control": CACHE_FOREVER if is_current else "no-store", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=found.media_type, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)

"""The pages of the mailbox, and its SMTP server in the same process.

granian --interface asgi --factory --workers 1 sandbox.mailbox.app:app --port 8025
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from email.message import EmailMessage
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from litestar import Litestar, MediaType, Request, Response, get
from litestar.config.allowed_hosts import AllowedHostsConfig
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import QueryParameter

import settings
from sandbox.mailbox import previews
from sandbox.mailbox.smtp import receiving
from sandbox.mailbox.store import Store, parsed, text_of
from sandbox.processes import ROOT
from settings import Settings

TEMPLATES = Path(__file__).parent / "templates"
HTMX = ROOT / "static" / "vendor" / "htmx" / "htmx.min.js"

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MESSAGE_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; base-uri 'self'; frame-ancestors 'self'"
)
"""The policy of a message's HTML: it runs no script, sends nothing and loads nothing."""

AnyRequest = Request[Any, Any, State]
Words = Annotated[str, QueryParameter(name="q")]
To = Annotated[str, QueryParameter(name="to")]


@get("/")
async def front(request: AnyRequest, words: Words = "") -> Response[str]:
    """The received messages, newest first. The list renews itself."""
    context = {"messages": _store(request).list(words), "query": words}
    is_fragment = request.headers.get("HX-Request") == "true"
    return _page(request, "_list.html" if is_fragment else "list.html", context)


@get("/previews")
async def all_previews(request: AnyRequest) -> Response[str]:
    """All kinds of messages with invented data."""
    conf: Settings = request.app.state.settings
    found = [(name, previews.preview(name, conf)) for name in previews.names()]
    return _page(request, "previews.html", {"previews": found})


@get(["/messages/{key:int}", "/previews/{name:str}"])
async def show(request: AnyRequest) -> Response[str]:
    """One message: its HTML, text, headers and attachments."""
    message = _message(request)
    context = {
        "address": request.url.path,
        "subject": message["Subject"],
        "message": message,
        "text": text_of(message),
        "attachments": list(_attachments(message)),
    }
    return _page(request, "message.html", context)


@get(["/messages/{key:int}/html", "/previews/{name:str}/html"])
async def html(request: AnyRequest) -> Response[str]:
    """The HTML of a message, whose links open outside of the frame."""
    content = text_of(_message(request), "html").replace("<head>", '<head><base target="_blank">', 1)
    return Response(content, media_type=MediaType.HTML, headers={"Content-Security-Policy": MESSAGE_POLICY})


@get("/messages/{key:int}/source")
async def source(request: AnyRequest) -> Response[bytes]:
    """The message as it was received."""
    raw = _store(request).raw(request.path_params["key"])
    if raw is None:
        raise NotFoundException
    return Response(raw, media_type="text/plain; charset=utf-8")


@get(["/messages/{key:int}/attachments/{number:int}", "/previews/{name:str}/attachments/{number:int}"])
async def attachment(request: AnyRequest) -> Response[bytes]:
    """An attachment, to download."""
    number = request.path_params["number"]
    parts = list(_message(request).iter_attachments())
    if not 0 <= number < len(parts):
        raise NotFoundException
    headers = {"Content-Disposition": 'attachment; filename="attachment"'}
    if (given := parts[number].get_filename() or "").isascii() and given.replace(".", "").isalnum():
        headers["Content-Disposition"] = f'attachment; filename="{given}"'
    content = parts[number].get_payload(decode=True)
    assert isinstance(content, bytes)
    return Response(content, media_type="application/octet-stream", headers=headers)


@get("/api/messages")
async def api_list(request: AnyRequest, words: Words = "", recipient: To = "") -> list[dict[str, Any]]:
    """The received messages as JSON, newest first: for tests and programs."""
    found = _store(request).list(words, recipient)
    return [
        {"id": each.id, "receivedAt": each.received_at, "to": each.recipient, "subject": each.subject}
        for each in found
    ]


@get("/api/messages/{key:int}")
async def api_show(request: AnyRequest) -> dict[str, Any]:
    """A message as JSON."""
    message = _message(request)
    return {
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": text_of(message),
        "html": text_of(message, "html"),
        "attachments": [
            {"name": part.get_filename(), "type": part.get_content_type(), "text": str(part.get_content())}
            for part in message.iter_attachments()
            if part.get_content_maintype() == "text"
        ],
    }


@get("/htmx.js")
async def htmx() -> Response[bytes]:
    return Response(HTMX.read_bytes(), media_type="text/javascript")


@get("/health", media_type=MediaType.TEXT)
async def health(request: AnyRequest) -> str:
    """Answer 200 if the messages can be read. The SMTP server listens before the first answer."""
    _store(request).raw(0)
    return "ok"


def _store(request: AnyRequest) -> Store:
    store: Store = request.app.state.store
    return store


def _message(request: AnyRequest) -> EmailMessage:
    """The message, or the preview, that the path names."""
    if "name" in request.path_params:
        message = previews.preview(request.path_params["name"], request.app.state.settings)
    else:
        raw = _store(request).raw(request.path_params["key"])
        message = None if raw is None else parsed(raw)
    if message is None:
        raise NotFoundException
    return message


def _attachments(message: EmailMessage) -> Iterator[str]:
    for part in message.iter_attachments():
        yield part.get_filename() or part.get_content_type()


def _page(request: AnyRequest, template: str, context: dict[str, Any], status: int = 200) -> Response[str]:
    templates: Environment = request.app.state.templates
    site = request.app.state.settings.site
    content = templates.get_template(template).render({"site": site, **context})
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
    return Response(content, media_type=MediaType.HTML, headers=headers, status_code=status)


def not_found(request: AnyRequest, _: NotFoundException) -> Response[str]:
    return _page(request, "not_found.html", {}, HTTPStatus.NOT_FOUND)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def app() -> Litestar:
    """The mailbox as configured by the settings."""
    return create_app(settings.load())


def create_app(conf: Settings) -> Litestar:
    """The mailbox with its messages in DATA_DIR."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined
    )
    templates.filters["time"] = _time
    state = State({"settings": conf, "templates": templates})

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        app.state.store = store = Store(conf.data_dir / "mailbox.sqlite3")
        try:
            async with receiving(store, conf.mailbox_smtp_port):
                yield
        finally:
            store.close()

    return Litestar(
        [front, all_previews, show, html, source, attachment, api_list, api_show, htmx, health],
        lifespan=[lifespan],
        state=state,
        # Another site can't read the messages under a name of its own that leads to this machine.
        allowed_hosts=AllowedHostsConfig(
            [f"localhost:{conf.mailbox_port}", f"127.0.0.1:{conf.mailbox_port}"]
        ),
        exception_handlers={NotFoundException: not_found},
        openapi_config=None,
        logging_config=None,
    )

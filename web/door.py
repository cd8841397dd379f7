"""The door: so many requests are served at once, a few wait a moment, and the others are told to come again.

It stands before everything else, so that who can't be served costs next to nothing. What tells how the
process is doing (/health, /metrics), and what costs next to nothing too (/static), goes past it.
"""

import re
from collections.abc import Mapping
from typing import Literal, get_args

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge

from web.bodies import LARGEST, Bodies, BodyRefused, declared, drop
from web.room import Place, Room
from web.turned_away import Answers

Name = Literal["pages", "orders", "payments", "webhooks", "passwords", "live"]

INSIDE = Gauge("web_door_inside", "Requests that are being served", ["room"])
TURNED_AWAY = Counter("web_door_turned_away", "Requests that were told to come again", ["room", "status"])

_PAST_THE_DOOR = re.compile(r"/health/\w+|/metrics|/static/[^/]+")
_PASSWORDS = re.compile(r"/sign(in|up)|/account/password|/api/users/(sign(in|up)|password)")
_PAYMENTS = re.compile(r"/orders/[^/]+/pay|/api/payments")
_ORDERS = re.compile(r"/orders(/.*)?|/tickets/[^/]+/buy|/api/(orders|payments)(/.*)?")


def plain(path: str) -> str:
    """The path as the router reads it, to which `/live`, `//live` and `/live/` are one address."""
    return "/" + "/".join(filter(None, path.split("/")))


def room_of(method: str, path: str) -> Name | None:
    """Who waits for the same thing shares a room: a Stripe that is slow keeps nobody from looking around.

    None goes past the door.

    Args:
        path: as `plain` gives it.
    """
    if _PAST_THE_DOOR.fullmatch(path):
        return None
    if path == "/live":
        return "live"
    if path == "/api/payments/webhook":
        return "webhooks"
    if method == "POST" and _PASSWORDS.fullmatch(path):
        return "passwords"
    if method == "POST" and _PAYMENTS.fullmatch(path):
        return "payments"
    return "orders" if _ORDERS.fullmatch(path) else "pages"


def rooms(places: int) -> dict[Name, Room]:
    """Few at once of what makes a processor work, which is done the sooner. Of payments too: each brings work
    that comes after it, and would be kept waiting by those that come next."""
    return {
        "pages": Room(places, line=places, patience=2.0),
        "orders": Room(places, line=places, patience=5.0),
        "payments": Room(max(1, places // 2), line=max(1, places // 2), patience=5.0),
        "webhooks": Room(max(1, places // 4), line=2 * places, patience=5.0),
        "passwords": Room(max(1, places // 8), line=2 * places, patience=10.0),
        "live": Room(places, line=places, patience=2.0),
    }


class Door:
    """An ASGI app that lets into another one."""

    def __init__(self, app: ASGIApp, rooms: Mapping[Name, Room], answers: Answers, bodies: Bodies) -> None:
        self._app = app
        self._rooms = rooms
        self._answers = answers
        self._bodies = bodies
        for name in get_args(Name):
            INSIDE.labels(name).set_function(lambda room=rooms[name]: room.inside)  # type: ignore[misc]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        scope["path"] = plain(scope["path"])
        name = room_of(scope["method"], scope["path"])
        if name is None:
            await self._app(scope, receive, send)
            return
        try:
            await self._serve(name, scope, receive, send)
        except BodyRefused as refused:
            await self._turn_away(name, refused.status, scope, b"", send)

    async def _serve(self, name: Name, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Nobody takes up a place before their body is here."""
        length = declared(scope)
        if length is not None and length > LARGEST:
            if scope["path"].startswith("/api/"):
                raise BodyRefused(413)
            await drop(receive)
            receive = _again(
                b"", receive
            )  # the page says what it means, for which the declared length is enough
            length = 0
        async with self._bodies.arrived(receive, length) as body:
            place = await self._rooms[name].enter()
            if place is None:
                await self._turn_away(name, 503, scope, body, send)
                return
            try:
                receive = receive if length == 0 else _again(body, receive)
                await self._app(scope, receive, _leaving(place, send))
            finally:
                place.leave()

    async def _turn_away(self, name: Name, status: int, scope: HTTPScope, body: bytes, send: Send) -> None:
        TURNED_AWAY.labels(name, str(status)).inc()
        await self._answers.send(status, scope, body, send)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body as one message, and what comes after it."""
    is_told = False

    async def receive_again() -> HTTPReceiveMessage:
        nonlocal is_told
        if is_told:
            return await receive()  # type: ignore[return-value] # of HTTP, as the scope is
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _leaving(place: Place, send: Send) -> Send:
    """A stream, whatever its address, may go on for hours; what asks the services is over when it begins."""

    async def send_and_leave(message: Message) -> None:
        if message["type"] == "http.response.body" and message.get("more_body"):
            place.leave()
        await send(message)

    return send_and_leave

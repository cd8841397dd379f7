"""Admission control: limits how many requests are served at the same time, and rejects excess requests.

Admission control is the outermost ASGI app, so that a rejected request needs hardly any resources. Requests
that need hardly any resources themselves (/health, /metrics, /static) are always admitted.
"""

from collections.abc import Mapping
from typing import get_args

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge

from kit.client_address import ClientAddresses
from kit.devices import Devices
from kit.limiter import Limiter, Permit
from kit.networks import Networks, networks_of
from kit.security_log import record, remember_client
from web.admission.body_limits import BodyLimits
from web.admission.cookies import Cookie
from web.admission.network_rates import NetworkRates
from web.admission.policy import LimiterName, limiter_of
from web.admission.request_body import MAX_BODY_BYTES, BodyReader, BodyRejected, declared_length, discard
from web.admission.responses import RejectionResponses

IN_USE = Gauge("stagedoor_web_admission_permits_used", "Requests that are being served", ["limiter"])
PERMITS = Gauge("stagedoor_web_admission_permits", "The most requests that are served at once", ["limiter"])
REJECTED = Counter("stagedoor_web_admission_rejected", "Requests that were rejected", ["limiter", "status"])
STATUSES = (400, 408, 413, 429, 503)
"""Statuses of rejections."""


def normalized(path: str) -> str:
    """The path without repeated and trailing slashes, which the router ignores, too."""
    return "/" + "/".join(filter(None, path.split("/")))


class AdmissionControl:
    """An ASGI app that passes requests on to `app`, as far as the limiters allow."""

    def __init__(
        self,
        app: ASGIApp,
        limiters: Mapping[LimiterName, Limiter],
        responses: RejectionResponses,
        bodies: BodyReader,
        addresses: ClientAddresses,
        rates: NetworkRates,
        limits: BodyLimits,
        devices: Devices,
    ) -> None:
        self._app = app
        self._limiters = limiters
        self._responses = responses
        self._bodies = bodies
        self._addresses = addresses
        self._rates = rates
        self._limits = limits
        self._devices = devices
        self._device_cookie = Cookie(devices.name)
        for name in get_args(LimiterName):
            PERMITS.labels(name).set(limiters[name].limit)
            for status in STATUSES:
                REJECTED.labels(name, str(status))
            IN_USE.labels(name).set_function(lambda limiter=limiters[name]: limiter.in_use)  # type: ignore[misc]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:  # usually the lifespan
            await self._app(scope, receive, send)
            return
        scope["path"] = normalized(scope["path"])
        name = limiter_of(scope["method"], scope["path"])
        if name is None:
            await self._app(scope, receive, send)
            return
        address = self._addresses.of(scope)
        networks = networks_of(address)
        retry_after = self._rates.retry_after(scope["method"], scope["path"], networks)
        if retry_after is not None:
            remember_client(address)
            record("rate-limit", "refused", route=f"{scope['method']} {scope['path']}")
            await self._reject(name, 429, scope, b"", send, retry_after)
            return
        try:
            await self._serve(name, networks, scope, receive, send)
        except BodyRejected as rejected:
            await self._reject(name, rejected.status, scope, b"", send)

    async def _serve(
        self, name: LimiterName, networks: Networks | None, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        """Read the body, wait for a permit, and pass the request on.

        The body is read first, so that a slow sender holds no permit.
        """
        length = declared_length(scope)
        limit = await self._limits.of(scope) if length != 0 else 0
        if limit is None or (length is not None and length > limit):
            is_huge = length is not None and length > MAX_BODY_BYTES
            if limit is not None and is_huge and scope["path"].startswith("/api/"):
                raise BodyRejected(413)
            await discard(receive)
            if limit is not None and not is_huge:
                raise BodyRejected(413)
            receive = _replay(b"", receive)  # the app refuses the request, or answers by its declared length
            length = limit = 0
        async with self._bodies.read(receive, length, limit=limit, networks=networks) as body:
            permit = await self._permit(name, networks, scope)
            if permit is None:
                await self._reject(name, 503, scope, body, send)
                return
            try:
                receive = receive if length == 0 else _replay(body, receive)
                await self._app(scope, receive, _release_on_stream(permit, send))
            finally:
                permit.release()

    async def _permit(self, name: LimiterName, networks: Networks | None, scope: HTTPScope) -> Permit | None:
        limiter = self._limiters[name]
        if name == "passwords" and not limiter.has_room(networks):
            device = self._devices.any_device_of(self._device_cookie.of(scope))
            if device is not None:
                # Devices compete with each other, because a cookie can be sent from many networks.
                return await self._limiters["known-devices"].acquire(Networks(device, device))
        return await limiter.acquire(networks)

    async def _reject(
        self,
        name: LimiterName,
        status: int,
        scope: HTTPScope,
        body: bytes,
        send: Send,
        retry_after: int | None = None,
    ) -> None:
        REJECTED.labels(name, str(status)).inc()
        await self._responses.send(status, scope, body, send, retry_after)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body as one message, and then the messages of `receive`."""
    is_replayed = False

    async def receive_again() -> HTTPReceiveMessage:
        nonlocal is_replayed
        if is_replayed:
            return await receive()  # type: ignore[return-value] # of HTTP, as the scope is
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _release_on_stream(permit: Permit, send: Send) -> Send:
    """A `send` that releases the permit of a stream when the stream begins, because it may last for hours."""

    async def send_and_release(message: Message) -> None:
        if message["type"] == "http.response.body" and message.get("more_body"):
            permit.release()
        await send(message)

    return send_and_release

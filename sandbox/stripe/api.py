"""From an HTTP request to Stripe's answer: keys, parameters, work, events, rendering."""

import asyncio
import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from litestar import Request, Response
from litestar.types import Scope

from sandbox.stripe.checkout.operations import expire_run_out
from sandbox.stripe.errors import StripeError, failure, unauthorized
from sandbox.stripe.events.log import EventLog
from sandbox.stripe.events.rules import types_of
from sandbox.stripe.faults import Faults, Kind, Lost, rate_limited
from sandbox.stripe.forms import Tree, parse
from sandbox.stripe.idempotency import Call, Keys, Work, remembering
from sandbox.stripe.jobs import Job, Outcome, mint
from sandbox.stripe.rendering import Renderer, to_json
from sandbox.stripe.state import Event
from sandbox.stripe.store import Answer, Ledger, Store

AnyRequest = Request[Any, Any, Any]
Operation = Callable[[Tree], Job]
Bank = Callable[[], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True)
class Cause:
    """The request that changes something; neither, when somebody does on a page, or the clock."""

    request: str | None = None
    key: str | None = None


NOBODY = Cause()


def authenticate(authorization: str) -> str:
    """The secret key of `Bearer <key>` or, as the user of Basic authentication, `Basic <key>:`."""
    scheme, _, given = authorization.partition(" ")
    key = given.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    elif scheme.lower() != "bearer":
        key = ""
    if not re.fullmatch(r"sk_test_\w+", key, re.ASCII):
        raise unauthorized(key)
    return key


def request_id(scope: Scope) -> str:
    """The id of a request, made up when it is first asked for."""
    given: str = scope.setdefault("state", {}).setdefault("request_id", mint("req", 14))
    return given


class Api:
    """Answers the requests of one server.

    Args:
        base_url: where browsers reach the server; its pages are below it.
        bank: what takes its time whenever it has to authorize, capture, void or refund; None: at once.
        tell: called when there may be events to deliver; None if nobody is to be told of them.
    """

    def __init__(
        self,
        store: Store,
        *,
        base_url: str,
        bank: Bank | None,
        faults: Faults,
        tell: Callable[[], None] | None,
    ) -> None:
        self.store = store
        self.base_url = base_url.rstrip("/")
        self.faults = faults
        self._bank = bank
        self._tell = tell
        self._renderer = Renderer(self.base_url)
        self._keys = Keys(store)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, request: AnyRequest, operation: Operation) -> Response[str]:
        authenticate(request.headers.get("authorization", ""))
        job = operation(parse(request.scope["query_string"]))
        fault = await self._suffer(self.faults.draw())
        if fault == "server_error":
            raise failure()
        work = self._work(job, Cause(request_id(request.scope)))
        return respond(await self.store.run(work), lost=fault == "lost")

    async def post(self, request: AnyRequest, operation: Operation) -> Response[str]:
        """Do what is asked, once for each idempotency key."""
        account = authenticate(request.headers.get("authorization", ""))
        tree = parse(await request.body())
        id_, key, path = request_id(request.scope), request.headers.get("idempotency-key"), request.url.path
        call = None if key is None else _call(account, key, path, tree)
        drawn = self.faults.draw()
        if drawn == "rate_limit":
            raise rate_limited()
        lost = drawn == "lost"

        async def execute() -> Answer:
            nonlocal lost
            job = operation(tree)
            fault = await self._suffer(drawn or await self._fault_of(job, f"{account} {key or path}"))
            lost = fault == "lost"
            work = self._work(_broken(job) if fault == "server_error" else job, Cause(id_, key))
            if call is not None:
                work = remembering(call, work, lambda error: self._no(error, id_))
            return await self._perform(job, work)

        answer = await (execute() if call is None else self._keys.once(call, execute))
        return respond(answer, key, lost=lost)

    async def _fault_of(self, job: Job, key: str) -> Kind | None:
        """The fault of the card that is paid with."""
        if job.card is None:
            return None
        return self.faults.of_card(await self.store.run(job.card), key)

    async def _suffer(self, fault: Kind | None) -> Kind | None:
        """What a fault does before the work: refuse it, or make it wait."""
        if fault == "rate_limit":
            raise rate_limited()
        if fault == "slow":
            await asyncio.sleep(self.faults.switch.slow_seconds)
        return fault

    async def by_hand(self, job: Job) -> None:
        """What somebody does on one of the pages.

        Raises:
            StripeError: it can't be done.
        """
        await self._perform(job, self._work(job, NOBODY))

    async def look(self, work: Callable[[Ledger], T]) -> T:
        """What a page shows, as it is by now."""

        def now(ledger: Ledger) -> T:
            self._run_out(ledger)
            return work(ledger)

        return await self.store.run(now)

    async def run_out(self) -> None:
        """End the Checkout sessions whose time is up."""
        await self.store.run(self._run_out)
        self._told()

    async def _perform(self, job: Job, work: Work) -> Answer:
        """Wait for the bank, then do the work: nothing else changes the object in between."""
        lock = self._locks.setdefault(job.changes or mint("new"), asyncio.Lock())
        async with lock:
            if job.asks_bank and self._bank is not None:
                await self._bank()
            answer = await self.store.run(work)
        self._told()
        return answer

    def _told(self) -> None:
        if self._tell is not None:
            self._tell()

    def _work(self, job: Job, cause: Cause) -> Work:
        def work(ledger: Ledger) -> Answer:
            self._run_out(ledger)
            status, body = self._renderer.outcome(ledger, job.work(ledger), job.expand)
            self._record(ledger, cause)
            return Answer(status, to_json(body), cause.request or "")

        return work

    def _run_out(self, ledger: Ledger) -> None:
        expire_run_out(ledger)
        self._record(ledger, NOBODY)

    def _record(self, ledger: Ledger, cause: Cause) -> None:
        """Append the events of what has changed, in the transaction that changes it."""
        now, log = time.time(), EventLog(ledger.connection)
        for change in ledger.take_changes():
            types = types_of(change.before, change.after)
            if not types:
                continue
            shown = json.dumps(self._renderer.shown(ledger, change.after), ensure_ascii=False)
            for type_ in types:
                event = Event(
                    mint("evt"), type_, int(now), shown, cause.request, cause.key, self._tell is not None
                )
                log.append(event, now=now)

    def refused(self, request: AnyRequest, error: StripeError) -> Response[str]:
        return respond(self._no(error, request_id(request.scope)))

    def _no(self, error: StripeError, id_: str) -> Answer:
        return Answer(error.status, to_json(self._renderer.refused(error)), id_)


def _call(account: str, key: str, path: str, tree: Tree) -> Call:
    if not 1 <= len(key) <= 255:
        raise StripeError("Idempotency keys have from 1 to 255 characters.", kind="idempotency_error")
    # The secret key may be that of somebody's account at Stripe: it isn't kept.
    scope = hashlib.sha256(account.encode()).hexdigest()
    return Call(scope, key, path, json.dumps(tree, sort_keys=True))


def _broken(job: Job) -> Job:
    def work(_: Ledger) -> Outcome:
        raise failure()

    return replace(job, work=work)


def respond(answer: Answer, key: str | None = None, *, lost: bool = False) -> Response[str]:
    headers = {"Cache-Control": "no-cache, no-store"}
    if key is not None:
        headers |= {"Idempotency-Key": key, "Original-Request": answer.request_id}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
    kind = Lost if lost else Response
    return kind(answer.body, status_code=answer.status, media_type="application/json", headers=headers)

"""Turns an HTTP request into Stripe's answer: authentication, parameters, transaction, events, rendering."""

import asyncio
import base64
import binascii
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from litestar import Request, Response
from litestar.types import Scope

from sandbox.stripe.checkout.operations import expire_due_sessions
from sandbox.stripe.connect.objects import owner_of
from sandbox.stripe.connect.payouts import let_time_pass
from sandbox.stripe.connect.state import PLATFORM
from sandbox.stripe.errors import StripeError, failure, unauthorized
from sandbox.stripe.events.log import EventLog
from sandbox.stripe.events.rules import types_of
from sandbox.stripe.events.webhooks import Webhooks
from sandbox.stripe.faults import Faults, Lost, RequestFault, rate_limited, with_declined_card
from sandbox.stripe.forms import Tree, parse
from sandbox.stripe.idempotency import Call, Keys, Work, saving_answer
from sandbox.stripe.jobs import Job, Outcome, mint
from sandbox.stripe.operations import settle_due_refunds
from sandbox.stripe.rendering import Renderer, to_json
from sandbox.stripe.state import Event
from sandbox.stripe.store import Answer, Ledger, Store

AnyRequest = Request[Any, Any, Any]
Operation = Callable[[Tree], Job]
Bank = Callable[[], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True)
class Cause:
    """The API request that causes a change. Both fields are None if a page or the clock causes it."""

    request: str | None = None
    key: str | None = None


NO_REQUEST = Cause()


def authenticate(authorization: str) -> str:
    """Return the secret key from `Bearer <key>`, or from Basic authentication with the key as user name."""
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


def connected_account(request: AnyRequest) -> str:
    """The connected account on whose behalf the platform makes the request, or `PLATFORM`."""
    return request.headers.get("stripe-account", PLATFORM)


def request_id(scope: Scope) -> str:
    """The id of a request, generated on the first call."""
    given: str = scope.setdefault("state", {}).setdefault("request_id", mint("req", 14))
    return given


class Api:
    """Answers all requests of one server.

    Args:
        base_url: the URL of the server for browsers.
        bank: awaited before each authorization, capture, void and refund.
        webhooks: deliver the events.
    """

    def __init__(
        self,
        store: Store,
        *,
        base_url: str,
        bank: Bank | None,
        faults: Faults,
        webhooks: Sequence[Webhooks] = (),
    ) -> None:
        self.store = store
        self.base_url = base_url.rstrip("/")
        self.faults = faults
        self.requests: Counter[str] = Counter()
        self._bank = bank
        self._webhooks = webhooks
        self._renderer = Renderer(self.base_url)
        self._keys = Keys(store)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, request: AnyRequest, operation: Operation) -> Response[str]:
        authenticate(request.headers.get("authorization", ""))
        job = operation(parse(request.scope["query_string"]))
        fault = await self._refuse_or_delay(self.faults.of_request("GET", request.url.path))
        if fault == "server_error":
            raise failure()
        work = self._work(job, Cause(request_id(request.scope)))
        return respond(await self.store.run(work), lost=fault == "lost")

    async def post(self, request: AnyRequest, operation: Operation) -> Response[str]:
        """Execute the request, once for each idempotency key."""
        account = f"{authenticate(request.headers.get('authorization', ''))}{connected_account(request)}"
        tree = parse(await request.body())
        id_, key, path = request_id(request.scope), request.headers.get("idempotency-key"), request.url.path
        call = None if key is None else _call(account, key, path, tree)
        drawn = self.faults.of_request("POST", path)
        if drawn == "rate_limit":
            raise rate_limited()
        lost = drawn == "lost"

        async def execute() -> Answer:
            nonlocal lost
            job = operation(tree)
            if drawn == "decline" and job.card is not None:
                job = operation(with_declined_card(tree))
            fault = await self._refuse_or_delay(
                drawn or await self._fault_of(job, f"{account} {key or path}")
            )
            lost = fault == "lost"
            work = self._work(_broken(job) if fault == "server_error" else job, Cause(id_, key))
            if call is not None:
                work = saving_answer(call, work, lambda error: self._error(error, id_))
            return await self._perform(job, work)

        answer = await (execute() if call is None else self._keys.once(call, execute))
        return respond(answer, key, lost=lost)

    async def _fault_of(self, job: Job, key: str) -> RequestFault | None:
        """The fault of the card that the job pays with, if any."""
        if job.card is None:
            return None
        return self.faults.of_card(await self.store.run(job.card), key)

    async def _refuse_or_delay(self, fault: RequestFault | None) -> RequestFault | None:
        """Apply a fault that takes effect before the work, and return the fault."""
        if fault == "rate_limit":
            raise rate_limited()
        if fault == "slow":
            await asyncio.sleep(self.faults.settings.slow_seconds)
        return fault

    async def run_from_page(self, job: Job) -> None:
        """Execute a job that a person requested on one of the pages.

        Raises:
            StripeError: the job isn't possible.
        """
        await self._perform(job, self._work(job, NO_REQUEST))

    async def read(self, query: Callable[[Ledger], T]) -> T:
        """The result of a query, after everything that time has changed."""

        def read(ledger: Ledger) -> T:
            self._catch_up(ledger)
            return query(ledger)

        return await self.store.run(read)

    async def catch_up(self) -> None:
        """Expire the Checkout sessions that are due, settle refunds, and move money that is due."""
        await self.store.run(self._catch_up)
        self._notify()

    async def _perform(self, job: Job, work: Work) -> Answer:
        """Wait for the bank, then do the work. The object that the work changes is locked meanwhile."""
        lock = self._locks.setdefault(job.changes or mint("new"), asyncio.Lock())
        async with lock:
            if job.asks_bank and self._bank is not None:
                await self._bank()
            answer = await self.store.run(work)
        self._notify()
        return answer

    def _notify(self) -> None:
        for webhooks in self._webhooks:
            webhooks.wake()

    def _work(self, job: Job, cause: Cause) -> Work:
        def work(ledger: Ledger) -> Answer:
            self._catch_up(ledger)
            status, body = self._renderer.outcome(ledger, job.work(ledger), job.expand)
            self._record(ledger, cause)
            return Answer(status, to_json(body), cause.request or "")

        return work

    def _catch_up(self, ledger: Ledger) -> None:
        expire_due_sessions(ledger)
        settle_due_refunds(ledger)
        let_time_pass(ledger, int(time.time()))
        self._record(ledger, NO_REQUEST)

    def _record(self, ledger: Ledger, cause: Cause) -> None:
        """Append the events of all changes to the log, in the same transaction."""
        now, log = time.time(), EventLog(ledger.connection)
        for change in ledger.take_changes():
            types = types_of(change.before, change.after)
            if not types:
                continue
            shown = json.dumps(self._renderer.shown(ledger, change.after), ensure_ascii=False)
            for type_ in types:
                endpoints = [each.endpoint.name for each in self._webhooks if each.endpoint.wants(type_)]
                event = Event(
                    mint("evt"),
                    type_,
                    int(now),
                    shown,
                    cause.request,
                    cause.key,
                    account=owner_of(change.after),
                )
                log.append(event, now=now, endpoints=endpoints)

    def refused(self, request: AnyRequest, error: StripeError) -> Response[str]:
        return respond(self._error(error, request_id(request.scope)))

    def _error(self, error: StripeError, id_: str) -> Answer:
        return Answer(error.status, to_json(self._renderer.error(error)), id_)


def _call(account: str, key: str, path: str, tree: Tree) -> Call:
    if not 1 <= len(key) <= 255:
        raise StripeError("Idempotency keys have from 1 to 255 characters.", kind="idempotency_error")
    # Store a hash only: the secret key may belong to a real Stripe account.
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

"""From an HTTP request to Stripe's answer: keys, parameters, work, rendering."""

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from litestar import Request, Response
from litestar.types import Scope

from sandbox.stripe import objects
from sandbox.stripe.errors import StripeError, unauthorized
from sandbox.stripe.forms import Tree, parse
from sandbox.stripe.idempotency import Call, Keys, Work, remembering
from sandbox.stripe.intents import UnexpectedState
from sandbox.stripe.jobs import Declined, Job, Listed, Outcome, mint
from sandbox.stripe.operations import settle_challenge
from sandbox.stripe.state import Challenge, Charge, Intent, Kept, PaymentMethod, Refund
from sandbox.stripe.store import Answer, Ledger, Page, Store

AnyRequest = Request[Any, Any, Any]
Operation = Callable[[Tree], Job]

_EXPANDED: dict[str, type[Kept]] = {
    "charge": Charge,
    "latest_charge": Charge,
    "payment_intent": Intent,
    "payment_method": PaymentMethod,
}


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
        base_url: where browsers reach the server; 3-D Secure pages are below it.
        bank_seconds: how long the bank takes to authorize, capture, void or refund.
    """

    def __init__(self, store: Store, *, base_url: str, bank_seconds: float) -> None:
        self.store = store
        self._base_url = base_url.rstrip("/")
        self._bank_seconds = bank_seconds
        self._keys = Keys(store)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, request: AnyRequest, operation: Operation) -> Response[str]:
        authenticate(request.headers.get("authorization", ""))
        job = operation(parse(request.scope["query_string"]))
        return respond(await self.store.run(self._work(job, request_id(request.scope))))

    async def post(self, request: AnyRequest, operation: Operation) -> Response[str]:
        """Do what is asked, once for each idempotency key."""
        account = authenticate(request.headers.get("authorization", ""))
        tree = parse(await request.body())
        id_, key = request_id(request.scope), request.headers.get("idempotency-key")
        if key is None:
            job = operation(tree)
            return respond(await self.perform(job, self._work(job, id_)))
        call = _call(account, key, request.url.path, tree)

        async def execute() -> Answer:
            job = operation(tree)
            work = remembering(call, self._work(job, id_), lambda error: self._refused(error, id_))
            return await self.perform(job, work)

        return respond(await self._keys.once(call, execute), key)

    async def perform(self, job: Job, work: Work) -> Answer:
        """Wait for the bank, then do the work: nothing else changes the object in between."""
        lock = self._locks.setdefault(job.changes or mint("new"), asyncio.Lock())
        async with lock:
            if job.asks_bank and self._bank_seconds:
                await asyncio.sleep(self._bank_seconds)
            return await self.store.run(work)

    async def settle(self, challenge: Challenge, *, approved: bool) -> None:
        """A cardholder's answer to the 3-D Secure check."""
        job = Job(
            lambda ledger: settle_challenge(ledger, challenge, approved=approved),
            changes=challenge.intent,
            asks_bank=True,
        )
        await self.perform(job, self._work(job, challenge.id))

    def _work(self, job: Job, id_: str) -> Work:
        def work(ledger: Ledger) -> Answer:
            status, body = self._rendered(ledger, job.work(ledger), job.expand)
            return Answer(status, to_json(body), id_)

        return work

    def _rendered(
        self, ledger: Ledger, outcome: Outcome, expand: tuple[str, ...]
    ) -> tuple[int, objects.Json]:
        if isinstance(outcome, Listed):
            items = [self._shown(ledger, thing, expand) for thing in outcome.things]
            return 200, objects.listing(items, outcome.url, has_more=outcome.has_more)
        if isinstance(outcome, Declined):
            assert outcome.intent.last_payment_error is not None
            error = objects.payment_error(outcome.intent.last_payment_error)
            return 402, {"error": error | {"payment_intent": self._shown(ledger, outcome.intent, expand)}}
        return 200, self._shown(ledger, outcome, expand)

    def _shown(self, ledger: Ledger, thing: Kept, expand: tuple[str, ...] = ()) -> objects.Json:
        if isinstance(thing, Intent):
            body = objects.payment_intent(thing, base_url=self._base_url)
        elif isinstance(thing, Charge):
            refunds, has_more = ledger.listed(Refund, Page(), charge=thing.id)
            body = objects.charge(thing, refunds, more_refunds=has_more)
        elif isinstance(thing, Refund):
            body = objects.refund(thing)
        elif isinstance(thing, PaymentMethod):
            body = objects.payment_method(thing)
        else:
            raise TypeError(f"{thing} has no form in the API")
        for name in expand:
            if inner := ledger.find(_EXPANDED[name], body[name]):
                body[name] = self._shown(ledger, inner)
        return body

    def refused(self, request: AnyRequest, error: StripeError) -> Response[str]:
        return respond(self._refused(error, request_id(request.scope)))

    def _refused(self, error: StripeError, id_: str) -> Answer:
        body = error.body()
        if isinstance(error, UnexpectedState):
            body["error"]["payment_intent"] = objects.payment_intent(error.intent, base_url=self._base_url)
        return Answer(error.status, to_json(body), id_)


def _call(account: str, key: str, path: str, tree: Tree) -> Call:
    if not 1 <= len(key) <= 255:
        raise StripeError("Idempotency keys have from 1 to 255 characters.", kind="idempotency_error")
    # The secret key may be that of somebody's account at Stripe: it isn't kept.
    scope = hashlib.sha256(account.encode()).hexdigest()
    return Call(scope, key, path, json.dumps(tree, sort_keys=True))


def to_json(body: objects.Json) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False)


def respond(answer: Answer, key: str | None = None) -> Response[str]:
    headers = {"Cache-Control": "no-cache, no-store"}
    if key is not None:
        headers |= {"Idempotency-Key": key, "Original-Request": answer.request_id}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
    return Response(answer.body, status_code=answer.status, media_type="application/json", headers=headers)

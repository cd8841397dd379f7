"""The HTTP server: authentication, versions, parameters, idempotency keys and scripted failures."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestServer
from stripe import params
from stripe.params import checkout as checkout_params

from kit.stripe.client import API_VERSION
from tests.support.fixture_stripe import checkout, money_back, payments
from tests.support.fixture_stripe.account import Account, check_expand, new_id
from tests.support.fixture_stripe.errors import StripeProblem, failure
from tests.support.fixture_stripe.fixtures import Json
from tests.support.fixture_stripe.types import read_params

Operation = Callable[..., Json]
"""Takes the account, the parameters and, if the path has one, the object's id."""


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    kind: str
    """The resource in the response."""
    params: Any
    operation: Operation | None = None
    """None to read an object or a list."""


ENDPOINTS = (
    Endpoint(
        "POST",
        "payment_intents",
        "payment_intent",
        params.PaymentIntentCreateParams,
        payments.create_intent,
    ),
    Endpoint("GET", "payment_intents", "payment_intent", params.PaymentIntentListParams),
    Endpoint("GET", "payment_intents/{id}", "payment_intent", params.PaymentIntentRetrieveParams),
    Endpoint(
        "POST",
        "payment_intents/{id}/confirm",
        "payment_intent",
        params.PaymentIntentConfirmParams,
        payments.confirm_intent,
    ),
    Endpoint(
        "POST",
        "payment_intents/{id}/capture",
        "payment_intent",
        params.PaymentIntentCaptureParams,
        payments.capture_intent,
    ),
    Endpoint(
        "POST",
        "payment_intents/{id}/cancel",
        "payment_intent",
        params.PaymentIntentCancelParams,
        payments.cancel_intent,
    ),
    Endpoint("GET", "charges/{id}", "charge", params.ChargeRetrieveParams),
    Endpoint("POST", "refunds", "refund", params.RefundCreateParams, money_back.create_refund),
    Endpoint("GET", "refunds", "refund", params.RefundListParams),
    Endpoint("GET", "refunds/{id}", "refund", params.RefundRetrieveParams),
    Endpoint("GET", "disputes", "dispute", params.DisputeListParams),
    Endpoint("POST", "disputes/{id}", "dispute", params.DisputeUpdateParams, money_back.update_dispute),
    Endpoint("POST", "disputes/{id}/close", "dispute", params.DisputeCloseParams, money_back.close_dispute),
    Endpoint(
        "POST",
        "checkout/sessions",
        "checkout.session",
        checkout_params.SessionCreateParams,
        checkout.create_session,
    ),
    Endpoint("GET", "checkout/sessions", "checkout.session", checkout_params.SessionListParams),
    Endpoint("GET", "checkout/sessions/{id}", "checkout.session", checkout_params.SessionRetrieveParams),
    Endpoint(
        "POST",
        "checkout/sessions/{id}/expire",
        "checkout.session",
        checkout_params.SessionExpireParams,
        checkout.expire_session,
    ),
    Endpoint("GET", "events", "event", params.EventListParams),
)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Failure:
    """An answer that the next matching requests get instead of their own."""

    path: str
    """A regular expression for the method and the path, such as `POST .*/confirm`."""
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    does_work: bool = False
    """Whether the request is carried out nevertheless. The answer is then remembered under its key."""


class FixtureStripe:
    """A running server. Its account and its failures can be changed from the test."""

    def __init__(self) -> None:
        self.account = Account("")
        self.failures: list[Failure] = []
        self.requests: list[str] = []
        """Method and path of each request, and its query."""
        self._answers: dict[str, tuple[str, Json, Answer]] = {}
        """Path, parameters and answer for each idempotency key."""

    def app(self) -> web.Application:
        app = web.Application()
        for endpoint in ENDPOINTS:
            app.router.add_route(endpoint.method, f"/v1/{endpoint.path}", self._handler(endpoint))
        app.router.add_post("/3d_secure/{id}", self._answer_bank)
        app.router.add_post("/c/pay/{id}", self._submit_page)
        return app

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self.requests.append(f"{request.method} {request.path_qs}")
            money_back.settle_refunds(self.account)
            try:
                answer = self._answer(endpoint, request, await _fields(request))
            except StripeProblem as problem:
                answer = _refusal(problem)
            headers = {"Request-Id": new_id("req"), "Stripe-Version": API_VERSION, **answer.headers}
            return web.json_response(answer.body, status=answer.status, headers=headers)

        return handle

    def _answer(self, endpoint: Endpoint, request: web.Request, tree: Json) -> Answer:
        """
        Raises:
            StripeProblem: the request isn't carried out, and its answer isn't remembered.
        """
        _check_headers(request)
        fault = self._next_failure(f"{request.method} {request.path}")
        if fault and not fault.does_work:
            return Answer(fault.status, _refusal(failure(fault.status)).body, fault.headers)
        given = read_params(tree, endpoint.params)
        is_list = endpoint.operation is None and "{id}" not in endpoint.path
        check_expand(endpoint.kind, given.get("expand", []), in_list=is_list)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key in self._answers:
            return _replayed(key, request.path, tree, self._answers[key])
        answer = self._carried_out(endpoint, given, request.match_info.get("id"))
        if fault:
            answer = Answer(fault.status, _refusal(failure(fault.status)).body, fault.headers)
        if key is not None:
            self._answers[key] = (request.path, tree, answer)
        return answer

    def _carried_out(self, endpoint: Endpoint, given: Json, key: str | None) -> Answer:
        arguments = () if key is None else (key,)
        try:
            if endpoint.operation is not None:
                found = endpoint.operation(self.account, given, *arguments)
            elif key is not None:
                found = self.account.find(endpoint.kind, key)
            else:
                return Answer(200, self.account.listed(endpoint.kind, given))
            return Answer(200, self.account.shown(found, given.get("expand", [])))
        except StripeProblem as problem:
            return _refusal(problem)

    def _next_failure(self, request: str) -> Failure | None:
        for fault in self.failures:
            if fault.times and re.fullmatch(fault.path, request):
                fault.times -= 1
                return fault
        return None

    async def _answer_bank(self, request: web.Request) -> web.Response:
        """The bank's page: `answer` is `approve` or `refuse`. The buyer returns to the shop."""
        answer, account = (await request.post())["answer"], self.account
        with suppress(StripeProblem):
            payments.answer_bank(account, request.match_info["id"], approved=answer == "approve")
        intent = account.find("payment_intent", request.match_info["id"])
        if intent["id"] in account.sessions:
            checkout.update_session(account, intent["id"])
        query = {"payment_intent": intent["id"], "payment_intent_client_secret": intent["client_secret"]}
        return web.Response(status=303, headers={"Location": f"http://shop.test/?{urlencode(query)}"})

    async def _submit_page(self, request: web.Request) -> web.Response:
        """Stripe's payment page: `card` is a token."""
        session = checkout.submit_page(
            self.account, request.match_info["id"], str((await request.post())["card"])
        )
        return web.Response(status=303, headers={"Location": session["url"] or session["success_url"]})


@asynccontextmanager
async def serving_fixtures() -> AsyncIterator[FixtureStripe]:
    """A server with an empty account. The account knows its URL."""
    stripe = FixtureStripe()
    async with TestServer(stripe.app()) as server:
        stripe.account.url = str(server.make_url("")).rstrip("/")
        yield stripe


def _check_headers(request: web.Request) -> None:
    if not re.match(r"(Bearer sk_test_|Basic )\w+", request.headers.get("Authorization", "")):
        raise StripeProblem("Invalid API Key provided", status=401)
    if (version := request.headers.get("Stripe-Version", API_VERSION)) != API_VERSION:
        raise StripeProblem(f"Invalid Stripe API version: {version}")


async def _fields(request: web.Request) -> Json:
    """The nested parameters. A list is a tree with positions as names."""
    tree: Json = {}
    given = request.query if request.method == "GET" else await request.post()
    for name, value in given.items():
        *branches, leaf = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[leaf or str(len(node))] = value
    return tree


def _refusal(problem: StripeProblem) -> Answer:
    return Answer(problem.status, {"error": problem.fields})


def _replayed(key: str, path: str, tree: Json, remembered: tuple[str, Json, Answer]) -> Answer:
    """The remembered answer: https://docs.stripe.com/api/idempotent_requests

    Raises:
        StripeProblem: the key was used for another request.
    """
    first_path, first_tree, answer = remembered
    if (first_path, first_tree) != (path, tree):
        message = f"Keys for idempotent requests can only be used with the same parameters: {key}"
        raise StripeProblem(message, kind="idempotency_error")
    return Answer(answer.status, answer.body, {**answer.headers, "Idempotent-Replayed": "true"})

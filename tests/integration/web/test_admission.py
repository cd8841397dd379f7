"""Admission control serves, queues or rejects requests, and reads their bodies first."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
import pytest_asyncio
from litestar.types import HTTPScope
from pydantic import SecretStr

from kit.client_address import ClientAddresses
from kit.devices import Devices
from kit.limiter import Limiter
from settings import Settings
from tests.integration.web.asgi_client import Answer, SlowApp, ask
from tests.integration.web.page_client import PageClient
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.polling import until
from tests.support.prometheus import assert_firing, own_metrics
from web import app as web_app
from web.admission.body_limits import BodyLimits
from web.admission.middleware import AdmissionControl
from web.admission.network_rates import NetworkRates
from web.admission.policy import LimiterName, limiter_of
from web.admission.request_body import MAX_BODY_BYTES, SMALL_BODY_BYTES, BodyReader, BodyRejected
from web.admission.responses import MAX_RETRY_AFTER, MIN_RETRY_AFTER, RejectionResponses
from web.page_cache.middleware import PageCache
from web.rendering.templating import engine
from web.security import api_security_headers, security_headers

FORM = "application/x-www-form-urlencoded"
HTMX = {"hx_request": "true", "hx_request_type": "partial"}

SETTINGS = Settings(_env_file=None, internal_secret=SecretStr("s" * 32))
DEVICES = Devices(SETTINGS)
RESPONSES = RejectionResponses(
    engine(SETTINGS).engine, security_headers(SETTINGS), api_security_headers(SETTINGS)
)


class LargeBodies(BodyLimits):
    """Allows every request to have a body as large as a form with a picture."""

    def __init__(self) -> None:
        """Need no settings and no sessions."""

    async def of(self, scope: HTTPScope) -> int | None:
        return MAX_BODY_BYTES


class LimitedApp:
    """An app behind admission control. By default, each limiter has one permit and no queue."""

    def __init__(self, limit: int = 1, queue_size: int = 0, bodies: BodyReader | None = None) -> None:
        self.app = SlowApp()
        self.limiters = {name: Limiter(limit, queue_size, 60.0) for name in get_args(LimiterName)}
        self.admission = AdmissionControl(
            self.app,
            self.limiters,
            RESPONSES,
            bodies or BodyReader(),
            ClientAddresses(SETTINGS.trusted_proxies),
            NetworkRates(SETTINGS),
            LargeBodies(),
            DEVICES,
        )

    async def occupy(self, *addresses: str, method: str = "GET") -> None:
        """Send a request to each of these addresses, and return when the app has received all of them."""
        for number, address in enumerate(addresses, 1):
            task = asyncio.create_task(ask(self.admission, method, address, [b""]))
            task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
            await self.app.wait_for_requests(number)

    async def until_idle(self) -> None:
        async def in_use() -> int:
            return sum(limiter.in_use for limiter in self.limiters.values())

        await until(in_use, lambda count: count == 0, seconds=30)


@pytest_asyncio.fixture(loop_scope="session")
async def limited_app() -> LimitedApp:
    return LimitedApp()


async def expect_rejection(limited_app: LimitedApp, *args: object, **headers: str) -> Answer:
    answer = await ask(limited_app.admission, *args, **headers)  # type: ignore[arg-type]
    assert answer.status == 503
    assert MIN_RETRY_AFTER <= int(answer.headers["retry-after"]) <= MAX_RETRY_AFTER
    assert answer.headers["cache-control"] == "no-store"
    return answer


@pytest.mark.parametrize(
    ("method", "path", "limiter"),
    [
        ("GET", "/", "pages"),
        ("GET", "/tickets/1", "pages"),
        ("GET", "/signin", "pages"),
        ("GET", "/api/users/currentuser", "pages"),
        ("POST", "/sell", "pages"),
        ("GET", "/health", "pages"),
        ("GET", "/static/a/b", "pages"),
        ("POST", "/signin", "passwords"),
        ("POST", "/signup", "passwords"),
        ("POST", "/account/password", "passwords"),
        ("POST", "/account/reset", "passwords"),
        ("POST", "/account/email", "passwords"),
        ("POST", "/account/undo-email-change", "passwords"),
        ("POST", "/account/forgot", "pages"),
        ("POST", "/account/confirm", "pages"),
        ("POST", "/account/change-email", "pages"),
        ("POST", "/account/delete", "passwords"),
        ("GET", "/account/delete", "pages"),
        ("POST", "/api/users/me/deletion", "passwords"),
        ("POST", "/api/users/signin", "passwords"),
        ("POST", "/api/users/signup", "passwords"),
        ("POST", "/api/users/password", "passwords"),
        ("POST", "/api/users/password-reset", "pages"),
        ("POST", "/api/users/password-reset/complete", "passwords"),
        ("POST", "/api/users/email-change", "passwords"),
        ("POST", "/api/users/email-change/undo", "passwords"),
        ("POST", "/api/users/email-change/complete", "pages"),
        ("GET", "/orders", "orders"),
        ("GET", "/orders/1", "orders"),
        ("POST", "/tickets/1/buy", "orders"),
        ("POST", "/api/orders", "orders"),
        ("DELETE", "/api/orders/1", "orders"),
        ("POST", "/orders/1/pay", "payments"),
        ("POST", "/api/payments", "payments"),
        ("GET", "/api/payments", "orders"),
        ("POST", "/api/payments/webhook", "webhooks"),
        ("GET", "/live", "live"),
        ("GET", "/health/live", None),
        ("GET", "/health/ready", None),
        ("GET", "/metrics", None),
        ("GET", "/static/app.0123456789ab.css", None),
    ],
)
def test_requests_that_wait_for_the_same_resource_share_a_limiter(
    method: str, path: str, limiter: str | None
) -> None:
    assert limiter_of(method, path) == limiter


PATH_FORMS = pytest.mark.parametrize("form", ["/{}", "//{}", "/{}/", "///{}//"])


@PATH_FORMS
@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "live"),
        ("GET", "tickets/1"),
        ("POST", "signin"),
        ("POST", "api/users//signin"),
        ("POST", "orders/1//pay"),
        ("POST", "api/payments"),
        ("POST", "api/payments/webhook"),
    ],
)
async def test_an_address_with_additional_slashes_uses_the_same_limiter(
    limited_app: LimitedApp, method: str, address: str, form: str
) -> None:
    await limited_app.occupy(form.format(address), method=method)
    [name] = [name for name, limiter in limited_app.limiters.items() if limiter.in_use]
    assert name == limiter_of(method, f"/{address}".replace("//", "/"))


@PATH_FORMS
async def test_control_the_router_ignores_additional_slashes_too(client: PageClient, form: str) -> None:
    for address, status in (("live", 400), ("signin", 200)):
        answer = await client.get(str(client.http.base_url) + form.format(address))
        assert answer.status_code == status


async def test_the_web_process_serves_pages_behind_admission_control(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The app that Granian starts passes lifespan events on to the pages, which need them to be served."""
    settings = Settings(
        _env_file=None, data_dir=tmp_path, nats_url=SecretStr("nats://127.0.0.1:9"), web_max_requests=1
    )
    monkeypatch.setattr("settings.load", lambda: settings)
    app = web_app.app()
    assert isinstance(app, PageCache)
    assert isinstance(app.app, AdmissionControl)
    async with alive(app):
        assert (await ask(app, address="/signin")).status == 200


# --- Limits ---


async def test_a_request_over_the_limit_is_rejected_at_once_with_retry_after(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/")
    assert (await expect_rejection(limited_app, "GET", "/api/tickets")).problem["type"] == "/problems/busy"
    assert len(limited_app.app.requests) == 1


async def test_a_rejected_head_gets_the_headers_of_a_rejected_get_and_no_body(
    limited_app: LimitedApp,
) -> None:
    await limited_app.occupy("/")
    get, head = [await expect_rejection(limited_app, method, "/") for method in ("GET", "HEAD")]
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.body))
    assert head.body == b""


async def test_a_known_device_can_sign_in_while_others_use_up_the_permits_for_passwords(
    limited_app: LimitedApp,
) -> None:
    await limited_app.occupy("/signin", method="POST")
    known = f"theme=dark; device={DEVICES.cookie('a' * 24, None).value}"
    for cookie in ("theme=dark", known.replace("a", "b"), "device=x"):
        await expect_rejection(limited_app, "POST", "/signin", cookie=cookie)
    signing_in = asyncio.create_task(ask(limited_app.admission, "POST", "/signin", [b""], cookie=known))
    await limited_app.app.wait_for_requests(2)
    await expect_rejection(limited_app, "POST", "/signin", cookie=known)
    signing_in.cancel()


async def test_known_devices_share_their_permits_fairly() -> None:
    limited_app = LimitedApp(limit=1, queue_size=1)
    await limited_app.occupy("/signin", method="POST")
    one, other = (f"device={DEVICES.cookie(user * 24, None).value}" for user in "ab")
    asked = []
    for number, cookie in enumerate([one, one, other]):
        address = f"9.9.{number}.9"
        request = ask(limited_app.admission, "POST", "/signin", [b""], cookie=cookie, x_forwarded_for=address)
        asked.append(asyncio.create_task(request))
        await asyncio.sleep(0)
    [rejected], waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert (rejected, rejected.result().status) == (asked[1], 503)
    for each in waiting:
        each.cancel()


SIGN_INS = pytest.mark.parametrize("address", ["/signin", "/api/users/signin", "//api/users//signin/"])


@SIGN_INS
async def test_sign_ins_of_a_network_above_its_limit_are_rejected_without_a_permit_or_reading_the_body(
    limited_app: LimitedApp, address: str
) -> None:
    limited_app.app.may_respond.set()
    for host in range(1, SETTINGS.rate_sign_in + 1):
        answer = await ask(limited_app.admission, "POST", address, [b""], x_forwarded_for=f"2600:1::{host:x}")
        assert answer.status == 200
    limited_app.limiters["passwords"].limit = 0
    for body in ([b""], [None]):
        answer = await ask(limited_app.admission, "POST", address, body, x_forwarded_for="2600:1::ffff")
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 61
    limited_app.limiters["passwords"].limit = 1
    other = await ask(limited_app.admission, "POST", address, [b""], x_forwarded_for="2600:2::1")
    assert other.status == 200


async def test_a_rejected_sign_in_form_gets_an_explanation(limited_app: LimitedApp) -> None:
    limited_app.app.may_respond.set()
    for _ in range(SETTINGS.rate_sign_in):
        await ask(limited_app.admission, "POST", "/signin", [b""], x_forwarded_for="8.8.8.8")
    page = await ask(limited_app.admission, "POST", "/signin", [b""], x_forwarded_for="8.8.8.8")
    alert = await ask(limited_app.admission, "POST", "/signin", [b""], x_forwarded_for="8.8.8.8", **HTMX)
    assert page.status == alert.status == 429
    for answer in (page, alert):
        assert b"too many from your network" in answer.body
    problem = await ask(limited_app.admission, "POST", "/api/users/signin", [b""], x_forwarded_for="8.8.8.8")
    assert problem.problem["type"] == "/problems/too-many-requests"


async def test_a_network_that_occupies_its_permits_leaves_one_for_others() -> None:
    limited_app = LimitedApp(limit=4)
    for limiter in limited_app.limiters.values():
        limiter.share = 3
    limited_app.app.may_respond.clear()
    for number in range(1, 4):
        flood = ask(limited_app.admission, "GET", "/orders", [b""], x_forwarded_for=f"8.8.8.{number}")
        task = asyncio.create_task(flood)
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        await limited_app.app.wait_for_requests(number)
    await expect_rejection(limited_app, "GET", "/orders", [b""], x_forwarded_for="8.8.8.9")
    other = asyncio.create_task(
        ask(limited_app.admission, "GET", "/orders", [b""], x_forwarded_for="8.8.4.1")
    )
    await limited_app.app.wait_for_requests(4)
    limited_app.app.may_respond.set()
    assert (await other).status == 200


async def test_control_with_a_high_limit_all_requests_are_served_at_once() -> None:
    limited_app = LimitedApp(limit=1_000)
    await limited_app.occupy(*["/"] * 100)
    assert len(limited_app.app.requests) == 100


async def test_health_metrics_and_assets_are_admitted_under_overload(limited_app: LimitedApp) -> None:
    occupied = ("/", "/orders", "/api/payments/webhook", "/live")
    await limited_app.occupy(*occupied)
    paths = ("/health/live", "/health/ready", "/metrics", "/static/app.0.css")
    requests = [asyncio.create_task(ask(limited_app.admission, address=path)) for path in paths]
    await limited_app.app.wait_for_requests(len(occupied) + len(paths))
    limited_app.app.may_respond.set()
    assert [answer.status for answer in await asyncio.gather(*requests)] == [200] * 4


async def test_slow_payments_do_not_limit_pages(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/api/payments", method="POST")
    limited_app.app.may_respond.set()
    assert (await ask(limited_app.admission)).status == 200


async def test_a_waiting_request_is_served_when_a_permit_is_released() -> None:
    limited_app = LimitedApp(queue_size=1)
    await limited_app.occupy("/")
    waiting = asyncio.create_task(ask(limited_app.admission))
    limited_app.app.may_respond.set()
    async with asyncio.timeout(30):
        assert (await waiting).body == b"served"


async def test_a_failed_request_releases_its_permit(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/fails")
    limited_app.app.may_respond.set()
    await limited_app.until_idle()


async def test_a_cancelled_request_releases_its_permit(limited_app: LimitedApp) -> None:
    task = asyncio.create_task(ask(limited_app.admission))
    await limited_app.app.wait_for_requests(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await limited_app.until_idle()


@pytest.mark.parametrize("address", ["/live", "/live/", "//live", "/tickets"])
async def test_a_stream_releases_its_permit_when_it_begins(limited_app: LimitedApp, address: str) -> None:
    limited_app.app.streams = True
    await limited_app.occupy(*[address] * 3)
    await limited_app.until_idle()


# --- Rejections ---


async def test_the_live_stream_is_rejected_with_a_problem(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/live")
    assert (await expect_rejection(limited_app, "GET", "/live")).problem["title"]


async def test_a_page_is_rejected_with_a_page_that_offers_to_retry(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/")
    page = await expect_rejection(limited_app, "GET", "/?q=cave")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<!doctype html>" in page.body
    assert b'<a class="button" href="">Try again</a>' in page.body


async def test_an_htmx_request_is_rejected_with_an_alert_that_keeps_the_form(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/")
    alert = await expect_rejection(limited_app, "POST", "/sell", [b"title=x"], content_length="7", **HTMX)
    assert alert.headers["hx-retarget"] == "#notice"
    assert b"<!doctype html>" not in alert.body
    assert b"still here" in alert.body


async def test_a_rejected_form_can_be_submitted_again_with_the_same_values(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/")
    body = b"key=abc&title=%22%3E%3Cscript%3E&price="
    page = await expect_rejection(
        limited_app, "POST", "/tickets/1/edit?a=%22", [body], content_length=str(len(body)), content_type=FORM
    )
    text = page.body.decode()
    assert 'action="/tickets/1/edit?a=%22"' in text
    assert '<input type="hidden" name="key" value="abc">' in text
    assert '<input type="hidden" name="title" value="&#34;&gt;&lt;script&gt;">' in text
    assert '<input type="hidden" name="price" value="">' in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("/account/password", b"current=secret", FORM),
        ("/signout", b"current=secret", FORM),
        ("/sell", b"secret", "multipart/form-data; boundary=x"),
        ("/sell", b"secret", ""),
    ],
)
async def test_the_rejection_of_a_form_with_passwords_or_a_picture_does_not_contain_its_values(
    limited_app: LimitedApp, path: str, body: bytes, content_type: str
) -> None:
    await limited_app.occupy("/")
    limited_app.limiters["passwords"].limit = 0
    page = await expect_rejection(
        limited_app, "POST", path, [body], content_length=str(len(body)), content_type=content_type
    )
    assert b"secret" not in page.body
    assert b"reload this page to send it again" in page.body


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("//evil.example/x", "a=secret"),
        ("/\\evil.example", "a=secret"),
        ("//signout", "a=secret"),
        ("/sell", "a=secret&" + "a&" * 300_000),
        ("/sell", "a=secret&" + "a&" * 50),
        ("/sell", "a=secret" * 3_000),
    ],
    ids=["another site", "backslash", "additional slash", "300,000 fields", "50 fields", "24 KB value"],
)
async def test_the_rejection_of_a_form_that_no_page_contains_does_not_contain_its_values(
    limited_app: LimitedApp, address: str, form: str
) -> None:
    await limited_app.occupy("/")
    body = form.encode()
    page = await expect_rejection(
        limited_app, "POST", address, [body], content_length=str(len(body)), content_type=FORM
    )
    assert b"<form" not in page.body
    assert b"secret" not in page.body
    assert b"reload this page to send it again" in page.body


@pytest.mark.parametrize("path", ["/tickets/1", "/api/tickets"])
async def test_a_rejection_has_the_security_headers_of_its_kind(limited_app: LimitedApp, path: str) -> None:
    await limited_app.occupy("/")
    rejected = await expect_rejection(limited_app, "GET", path)
    expected = (api_security_headers if path.startswith("/api/") else security_headers)(SETTINGS)
    assert {name: rejected.headers.get(name.lower()) for name in expected} == expected


# --- Bodies ---


async def test_a_body_in_several_pieces_is_read_completely(limited_app: LimitedApp) -> None:
    limited_app.app.may_respond.set()
    answer = await ask(limited_app.admission, "POST", "/", [b"ab", b"", b"c"], content_length="3")
    assert answer.status == 200
    assert limited_app.app.requests == [("/", b"abc")]


@pytest.mark.parametrize(
    "length",
    [
        {"content_length": "10"},
        {"transfer_encoding": "chunked"},
        {"content_length": "0", "transfer_encoding": "chunked"},
        {"content_length": str(MAX_BODY_BYTES)},
    ],
    ids=["content length", "chunked", "chunked with length 0", "maximal length"],
)
async def test_a_request_whose_body_is_incomplete_takes_no_permit(
    limited_app: LimitedApp, length: dict[str, str]
) -> None:
    slow = [
        asyncio.create_task(ask(limited_app.admission, "POST", "/", [b"a", None], **length)) for _ in range(5)
    ]
    await asyncio.sleep(0)  # admission control has begun to read all of them
    limited_app.app.may_respond.set()
    answer = await ask(limited_app.admission, "POST", "/", [b"a"], content_length="1")
    assert answer.status == 200
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_an_incomplete_body_times_out() -> None:
    limited_app = LimitedApp(bodies=BodyReader(timeout=0.01))
    async with asyncio.timeout(30):
        answer = await ask(limited_app.admission, "POST", "/api/orders", [b"a", None], content_length="2")
    assert answer.status == 408
    assert answer.problem["type"] == "/problems/too-slow"
    assert answer.headers["connection"] == "close"
    assert limited_app.app.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_that_is_declared_too_large_is_rejected_before_it_is_read(
    limited_app: LimitedApp, method: str
) -> None:
    async with asyncio.timeout(30):
        answer = await ask(
            limited_app.admission, method, "/api/tickets", [None], content_length=str(MAX_BODY_BYTES + 1)
        )
    assert answer.status == 413
    assert answer.problem["type"] == "/problems/too-large"


async def test_a_body_that_grows_too_large_is_rejected(limited_app: LimitedApp) -> None:
    pieces = [b"x" * 1_000_000] * 7
    answer = await ask(limited_app.admission, "POST", "/sell", pieces, transfer_encoding="chunked")
    assert answer.status == 413
    assert limited_app.app.requests == []


async def test_a_form_that_is_too_large_is_discarded_and_answered_by_its_page(
    limited_app: LimitedApp,
) -> None:
    limited_app.app.may_respond.set()
    pieces = [b"x" * 1_000_000] * 7
    answer = await ask(limited_app.admission, "POST", "/sell", pieces, content_length="7000000")
    assert answer.status == 200
    assert limited_app.app.requests == [("/sell", b"")]


async def test_a_stream_whose_request_has_a_large_body_lasts_until_the_browser_disconnects(
    client: PageClient, market: Market
) -> None:
    """An open stream calls `receive` to wait for the disconnection of the browser."""
    ticket = market.ticket(market.user("seller@example.com")[0])
    async with asyncio.timeout(30):
        answer = await ask(
            client.app, "GET", f"/live?ticket={ticket.id}", [b"x" * 1_000_000] * 7, content_length="7000000"
        )
    assert answer.status == 200


async def test_a_complete_body_takes_the_place_of_an_incomplete_one_but_a_small_body_needs_none() -> None:
    body = b"x" * (SMALL_BODY_BYTES + 1)
    limited_app = LimitedApp(limit=10, bodies=BodyReader(max_memory=2 * len(body)))
    large = {"content_length": str(2 * len(body))}
    slow = [
        asyncio.create_task(ask(limited_app.admission, "POST", "/", [body, None], **large)) for _ in range(2)
    ]
    await asyncio.sleep(0)  # admission control has begun to read both
    limited_app.app.may_respond.set()
    assert (await ask(limited_app.admission, "POST", "/", [b"x"], content_length="1")).status == 200
    assert not any(task.done() for task in slow)
    complete = {"content_length": str(len(body))}
    assert (await ask(limited_app.admission, "POST", "/", [body], **complete)).status == 200
    done, pending = await asyncio.wait(slow, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().status for task in done] == [503]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    assert (await ask(limited_app.admission, "POST", "/", [body, body], **large)).status == 200


async def test_only_received_bytes_count_towards_the_memory_limit() -> None:
    body = b"x" * MAX_BODY_BYTES
    limited_app = LimitedApp(limit=10, bodies=BodyReader(max_memory=MAX_BODY_BYTES))
    large = {"content_length": str(MAX_BODY_BYTES)}
    slow = [
        asyncio.create_task(ask(limited_app.admission, "POST", "/", [b"x", None], **large)) for _ in range(50)
    ]
    await asyncio.sleep(0)  # admission control has begun to read all of them
    limited_app.app.may_respond.set()
    for _ in range(2):  # the first body releases its memory
        assert (await ask(limited_app.admission, "POST", "/", [body], **large)).status == 200
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_bodies_count_towards_the_memory_of_the_clients_network() -> None:
    size = SMALL_BODY_BYTES + 1
    limited_app = LimitedApp(bodies=BodyReader(max_memory_per_network=size - 1))
    limited_app.app.may_respond.set()
    for forwarded, status in (("8.8.8.8", 503), ("10.0.0.1", 200)):
        body = {"content_length": str(size), "x_forwarded_for": forwarded}
        answer = await ask(limited_app.admission, "POST", "/", [b"x" * size], **body)
        assert answer.status == status, forwarded


async def test_a_request_whose_body_ends_early_is_rejected(limited_app: LimitedApp) -> None:
    """The response reaches a client that sends invalid chunks, because it is still connected."""
    answer = await ask(limited_app.admission, "POST", "/", content_length="10")
    assert answer.status == 400
    assert limited_app.app.requests == []


async def test_a_body_that_keeps_arriving_too_slowly_is_rejected() -> None:
    async def receive() -> object:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"a", "more_body": True}

    reader = BodyReader(timeout=0.05, rate=1_000_000_000)
    async with asyncio.timeout(30):
        with pytest.raises(BodyRejected) as rejected:
            async with reader.read(receive, None):  # type: ignore[arg-type]
                pass
    assert rejected.value.status == 408


async def test_admission_control_that_refuses_requests_for_minutes_alerts(limited_app: LimitedApp) -> None:
    await limited_app.occupy("/")
    before = own_metrics("web", "stagedoor_web_admission")
    for _ in range(5):
        await expect_rejection(limited_app)
    await assert_firing(before, own_metrics("web", "stagedoor_web_admission"), "AdmissionRefusing")
    limited_app.app.may_respond.set()
    await limited_app.until_idle()

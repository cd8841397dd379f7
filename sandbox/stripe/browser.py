"""The handlers of the pages for browsers: the front page, a bank's check, Checkout, and onboarding."""

from litestar import MediaType, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from sandbox.stripe import pages
from sandbox.stripe.api import AnyRequest, Api
from sandbox.stripe.checkout import operations, page
from sandbox.stripe.checkout.objects import page_url
from sandbox.stripe.checkout.operations import SessionState
from sandbox.stripe.connect import accounts
from sandbox.stripe.connect import page as onboarding
from sandbox.stripe.connect.rules import CHOICES
from sandbox.stripe.errors import StripeError
from sandbox.stripe.faults import DECLINED_CARD
from sandbox.stripe.forms import parse
from sandbox.stripe.jobs import Job, find_intent
from sandbox.stripe.operations import answer_challenge
from sandbox.stripe.state import Challenge, Intent
from sandbox.stripe.store import Ledger


def api_of(request: AnyRequest) -> Api:
    api: Api = request.app.state.api
    return api


@get("/", media_type=MediaType.HTML)
async def front() -> str:
    return pages.front()


@get("/3d_secure/{challenge_id:str}")
async def show_challenge(request: AnyRequest, challenge_id: FromPath[str]) -> Response[str]:
    api = api_of(request)
    found = await api.read(lambda ledger: _challenge(ledger, challenge_id))
    if found is None:
        return _html(pages.unknown(), 404)
    challenge, intent = found
    if intent.challenge != challenge.id:
        return _html(pages.answered(await _next_url(api, challenge, intent)))
    return _html(pages.challenge(intent))


@post("/3d_secure/{challenge_id:str}")
async def submit_challenge(request: AnyRequest, challenge_id: FromPath[str]) -> Response[str] | Redirect:
    """Apply the answer if it is the first, and redirect to the shop or to Checkout."""
    answer = parse(await request.body()).get("answer")
    if answer not in ("approve", "refuse"):
        return Redirect(request.url.path, status_code=303)
    api = api_of(request)
    found = await api.read(lambda ledger: _challenge(ledger, challenge_id))
    if found is None:
        return _html(pages.unknown(), 404)
    challenge, intent = found
    approved = answer == "approve"
    job = Job(
        lambda ledger: answer_challenge(ledger, challenge, approved=approved),
        changes=intent.checkout or intent.id,
        asks_bank=True,
    )
    await api.run_from_page(job)
    return Redirect(await _next_url(api, challenge, intent) or request.url.path, status_code=303)


def _challenge(ledger: Ledger, challenge_id: str) -> tuple[Challenge, Intent] | None:
    challenge = ledger.find(Challenge, challenge_id)
    return (challenge, find_intent(ledger, challenge.intent)) if challenge else None


async def _next_url(api: Api, challenge: Challenge, intent: Intent) -> str | None:
    """The URL to continue at after a check: Checkout's while its session isn't paid, otherwise the shop's."""
    if intent.checkout is None:
        return challenge.return_url and pages.with_intent(challenge.return_url, intent)
    session_id = intent.checkout
    state = await api.read(lambda ledger: operations.session_state(ledger, session_id))
    if state is not None and state.session.status == "complete":
        return page.success_url(state.session)
    return challenge.return_url


@get("/c/pay/{session_id:str}")
async def show_checkout(request: AnyRequest, session_id: FromPath[str]) -> Response[str]:
    api = api_of(request)
    state = await api.read(lambda ledger: operations.session_state(ledger, session_id))
    if state is None:
        return _html(page.unknown(), 404)
    return _html(page.show(state, base_url=api.base_url))


@post("/c/pay/{session_id:str}")
async def pay(request: AnyRequest, session_id: FromPath[str]) -> Response[str] | Redirect:
    """Pay if the session is open, then redirect or show the page again."""
    api, card = api_of(request), str(parse(await request.body()).get("card"))
    address = page_url(session_id, api.base_url)
    alert = None
    if card in page.CARDS:
        if api.faults.declines_on_page():
            card = DECLINED_CARD
        job = Job(
            lambda ledger: operations.submit(ledger, session_id, card, page=address),
            changes=session_id,
            asks_bank=True,
        )
        try:
            await api.run_from_page(job)
        except StripeError as error:
            alert = error.message
    else:
        alert = "Choose a card."
    state = await api.read(lambda ledger: operations.session_state(ledger, session_id))
    if state is None:
        return _html(page.unknown(), 404)
    return _after(state, alert, api.base_url)


def _after(state: SessionState, alert: str | None, base_url: str) -> Response[str] | Redirect:
    """Redirect to the shop or to the bank's check, or show the page again with the reason."""
    session, intent = state.session, state.intent
    if session.status == "complete":
        return Redirect(page.success_url(session), status_code=303)
    if intent is not None and intent.challenge and alert is None:
        return Redirect(f"{base_url}/3d_secure/{intent.challenge}", status_code=303)
    status = 410 if session.status == "expired" else 400 if alert else 402
    return _html(page.show(state, base_url=base_url, alert=alert), status)


@get("/setup/s/{link_id:str}")
async def show_onboarding(request: AnyRequest, link_id: FromPath[str]) -> Response[str] | Redirect:
    """The onboarding page, or a redirect to the address that asks for a new link."""
    state = await api_of(request).read(lambda ledger: accounts.link_state(ledger, link_id))
    if state is None:
        return _html(onboarding.unknown(), 404)
    if not state.is_open:
        return Redirect(state.link.refresh_url, status_code=303)
    return _html(onboarding.show(state))


@post("/setup/s/{link_id:str}")
async def submit_onboarding(request: AnyRequest, link_id: FromPath[str]) -> Response[str] | Redirect:
    """Apply the choice, and redirect to the platform."""
    api, chosen = api_of(request), parse(await request.body()).get("choice")
    state = await api.read(lambda ledger: accounts.link_state(ledger, link_id))
    if state is None:
        return _html(onboarding.unknown(), 404)
    if not state.is_open:
        return Redirect(state.link.refresh_url, status_code=303)
    choice = next((known for known in CHOICES if known == chosen), None)
    if choice is None:
        return _html(onboarding.show(state, alert="Choose what should happen."), 400)
    await api.run_from_page(Job(lambda ledger: accounts.submit(ledger, link_id, choice), changes=link_id))
    return Redirect(state.link.return_url, status_code=303)


@get("/express/{link_id:str}")
async def show_dashboard(request: AnyRequest, link_id: FromPath[str]) -> Response[str]:
    """The dashboard of an Express account, which has no way back to the platform."""
    state = await api_of(request).read(lambda ledger: accounts.login_state(ledger, link_id))
    if state is None or state[0].is_used:
        return _html(onboarding.unknown(), 404)
    return _html(onboarding.dashboard(state[1]))


@post("/express/{link_id:str}", status_code=200)
async def submit_dashboard(request: AnyRequest, link_id: FromPath[str]) -> Response[str]:
    """Apply the choice, unless the link was used."""
    api, chosen = api_of(request), parse(await request.body()).get("choice")
    state = await api.read(lambda ledger: accounts.login_state(ledger, link_id))
    if state is None or state[0].is_used:
        return _html(onboarding.unknown(), 404)
    choice = next((known for known in CHOICES if known == chosen), None)
    if choice is None:
        return _html(onboarding.dashboard(state[1], alert="Choose what should happen."), 400)
    job = Job(lambda ledger: accounts.submit_in_dashboard(ledger, link_id, choice), changes=link_id)
    await api.run_from_page(job)
    return _html(onboarding.changed())


def _html(content: str, status: int = 200) -> Response[str]:
    # no-store: after "back", the browser has to show the payment's current state.
    return Response(
        content, status_code=status, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"}
    )


PAGES = [
    *(front, show_challenge, submit_challenge, show_checkout, pay),
    *(show_onboarding, submit_onboarding, show_dashboard, submit_dashboard),
]

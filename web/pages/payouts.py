"""The page with a seller's money, and the way to Stripe's page, which asks for the seller's details."""

import asyncio
from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from contracts.api import PayoutAccount
from web.api_client import Refused
from web.forms import Fields, Form
from web.page_context import Page
from web.pages.accounts import sign_in_first
from web.redirects import sign_in_address
from web.rendering import locales
from web.rendering.payout_texts import ShownPayout, ShownSums, date_text, fee_text
from web.rendering.texts import N_, _
from web.request import WebRequest
from web.stripe_checkout import trusted_onboarding

ADDRESS = "/account/payouts"
PAGE_SIZE = 50
WAITS = 8
WAIT_SECONDS = 0.25
"""How often and how long a page waits for the details that the seller has just given to Stripe."""

NOT_AT_STRIPE = N_("We can't send you to Stripe now: the link that we got leads elsewhere. Try again later.")
"""For a link that leads to another site than Stripe's. The log has its address."""

COUNTRY = Fields(("country",), {"country": N_("Choose the country where you live")})

STATES = {
    "none": N_(
        "Tell Stripe, who pays our sellers, where to pay you. Your sales are held for you until then."
    ),
    "incomplete": N_("Stripe still needs some of your details before we can pay you."),
    "checking": N_("Stripe is checking your details. You don't need to do anything."),
    "active": N_("You are set up. We pay you when a sale is due."),
    "restricted": N_("Stripe needs more of your details before it can pay you."),
    "rejected": N_(
        "Stripe has refused to pay you. Your sales stay yours: write to us, so that we find another way."
    ),
}
BUTTONS = {
    "none": N_("Set up payouts"),
    "incomplete": N_("Go on at Stripe"),
    "restricted": N_("Go on at Stripe"),
    "active": N_("Change your details"),
}


@get(ADDRESS)
async def payouts(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """Show the money of the user's sales. Stripe's page leads back to this one."""
    after = request.query_params.get("after", "")[:200]
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    if "back" in request.query_params:
        await _wait_for_details(page)
    return await _show(page, Form({"country": ""}), after)


async def _wait_for_details(page: Page) -> None:
    """Wait for a moment until Stripe has reported what the seller has just changed on its page."""
    for _attempt in range(WAITS):
        if (await page.api.payout_account()).state not in {"incomplete", "restricted"}:
            return
        await asyncio.sleep(WAIT_SECONDS)


@post(ADDRESS, status_code=200)
async def set_up(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    """Get the address of Stripe's page, and offer it as a link: forms of this site lead nowhere else."""
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    country = data.get("country", "")
    try:
        link = await page.api.begin_payouts(country)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(ADDRESS))
        if refused.problem.type == "/problems/sign-in-again":
            return await _show(page, Form({"country": country}), "", status=403, sign_in=True)
        form = COUNTRY.with_errors({"country": country}, refused.problem)
        return await _show(page, form, "", status=422)
    address = trusted_onboarding(link, page.settings)
    if address is None:
        form = Form({"country": country}, general=(_(NOT_AT_STRIPE),))
        return await _show(page, form, "", status=503)
    return await _show(page, Form({"country": country}), "", link=address)


async def _show(
    page: Page, form: Form, after: str, *, link: str | None = None, status: int = 200, sign_in: bool = False
) -> Response[Any]:
    account = await page.api.payout_account()
    search = {"limit": str(PAGE_SIZE), **({"after": after} if after else {})}
    try:
        found = await page.api.payouts(search)
    except Refused as refused:
        if refused.problem.type != "/problems/bad-cursor":
            raise
        return page.redirect(ADDRESS)
    context = {
        "form": form,
        "account": account,
        "state": STATES[account.state],
        "button": BUTTONS.get(account.state),
        "countries": [
            ("", _("Choose a country")),
            *((code, locales.country_name(code)) for code in account.countries),
        ],
        "rules": rules_of(account),
        "link": link,
        "sign_in": sign_in_address(ADDRESS, again=True) if sign_in else None,
        "sums": [ShownSums(sums) for sums in found.sums],
        "payouts": [ShownPayout(payout) for payout in found.payouts],
        "first": ADDRESS if after else None,
        "more": f"{ADDRESS}?after={found.after}" if found.after else None,
    }
    return page.render("payouts/show.html", context, fragment="payouts/_show.html", status=status)


def rules_of(account: PayoutAccount) -> list[str]:
    """What holds for new sales: the fee and the date."""
    why = _("Until then, we hold the money, so that the buyer can report a problem.")
    return [fee_text(account.fee_percent), f"{date_text(account.payout_hours)} {why}"]


router = Router("/", route_handlers=[payouts, set_up])

"""The endpoints of connected accounts and of the links to their onboarding page.

https://docs.stripe.com/api/accounts https://docs.stripe.com/api/account_links, and
https://docs.stripe.com/api/accounts/login_link for those of a finished account
"""

import time
from dataclasses import dataclass, replace

from sandbox.stripe.connect import rules
from sandbox.stripe.connect.balance import CHECK, schedule_payout
from sandbox.stripe.connect.rules import Choice
from sandbox.stripe.connect.state import Account, AccountLink, Interval, LoginLink
from sandbox.stripe.errors import StripeError, missing
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Outcome, found, mint
from sandbox.stripe.params import read_url
from sandbox.stripe.store import Ledger

_FIELDS = "business_profile business_type capabilities email expand metadata settings"
_CAPABILITIES = "card_payments transfers"


def create_account(tree: Tree) -> Job:
    form = Form(tree, f"{_FIELDS} country type")
    form.required("type")
    if form.choice("type", "custom express standard") != "express":
        raise StripeError("The sandbox supports only the account type express.", param="type")
    country = form.text("country") or "US"
    if country not in rules.COUNTRIES:
        raise StripeError(
            f"{country} is not currently supported by Stripe.", code="country_unsupported", param="country"
        )
    requested, interval = _read_capabilities(form), _read_interval(form)
    account = Account(
        id=mint("acct", 16),
        created=int(time.time()),
        country=country,
        currency=rules.COUNTRIES[country],
        email=form.text("email"),
        business_type=_read_business_type(form),
        metadata={name: value for name, value in form.metadata().items() if value != ""},
        capabilities=tuple(name for name, is_requested in requested.items() if is_requested),
        interval=interval or "daily",
    )

    def work(ledger: Ledger) -> Outcome:
        ledger.save(account)
        return account

    return Job(work, form.texts("expand"))


def update_account(account_id: str, tree: Tree) -> Job:
    form = Form(tree, _FIELDS)
    requested, interval, metadata = _read_capabilities(form), _read_interval(form), form.metadata()
    email, business_type = form.text("email"), _read_business_type(form)

    def work(ledger: Ledger) -> Outcome:
        account = find_account(ledger, account_id)
        kept = [name for name in account.capabilities if requested.get(name, True)]
        added = [name for name, wanted in requested.items() if wanted and name not in kept]
        merged = {**account.metadata, **metadata}
        account = replace(
            account,
            capabilities=(*kept, *added),
            interval=interval or account.interval,
            email=email or account.email,
            business_type=business_type or account.business_type,
            metadata={name: value for name, value in merged.items() if value != ""},
        )
        ledger.save(account)
        schedule_payout(ledger, account.id)
        return account

    return Job(work, form.texts("expand"), changes=account_id)


def reject_account(account_id: str, tree: Tree) -> Job:
    form = Form(tree, "expand reason")
    form.required("reason")
    reason = form.choice("reason", "fraud terms_of_service other")

    def work(ledger: Ledger) -> Outcome:
        account = find_account(ledger, account_id)
        account = replace(account, progress="rejected", rejection=f"rejected.{reason}")
        ledger.save(account)
        return account

    return Job(work, form.texts("expand"), changes=account_id)


def create_link(tree: Tree) -> Job:
    form = Form(tree, "account collection_options expand refresh_url return_url type")
    for name in ("account", "type", "refresh_url", "return_url"):
        form.required(name)
    account_id = form.required("account")
    form.choice("type", "account_onboarding account_update")
    options = form.form("collection_options", "fields future_requirements")
    if options is not None:
        options.choice("fields", "currently_due eventually_due")
        options.choice("future_requirements", "include omit")
    now = int(time.time())
    link = AccountLink(
        id=mint("link"),
        created=now,
        expires_at=now + rules.LINK_SECONDS,
        account=account_id,
        return_url=str(read_url(form, "return_url")),
        refresh_url=str(read_url(form, "refresh_url")),
    )

    def work(ledger: Ledger) -> Outcome:
        if ledger.find(Account, account_id) is None:
            raise missing("account", account_id, param="account")
        ledger.save(link)
        return link

    return Job(work, form.texts("expand"))


def create_login_link(account_id: str, tree: Tree) -> Job:
    form = Form(tree, "expand")
    link = LoginLink(id=mint("login"), created=int(time.time()), account=account_id)

    def work(ledger: Ledger) -> Outcome:
        if find_account(ledger, account_id).progress in ("new", "unfinished"):
            raise StripeError("Cannot create a login link for an account that has not completed onboarding.")
        ledger.save(link)
        return link

    return Job(work, form.texts("expand"))


def find_account(ledger: Ledger, account_id: str) -> Account:
    """The account with the id in the path. Stripe doesn't tell whether it exists."""
    account = ledger.find(Account, account_id)
    if account is None:
        raise no_access(account_id)
    return account


def no_access(account_id: str) -> StripeError:
    return StripeError(
        f"The provided key does not have access to account '{account_id}' (or that account does not exist)."
        " Application access may have been revoked.",
        status=403,
        code="account_invalid",
    )


def _read_business_type(form: Form) -> str | None:
    return form.choice("business_type", "company government_entity individual non_profit")


def _read_capabilities(form: Form) -> dict[str, bool]:
    """The capabilities in the request, and whether it requests them."""
    given = form.form("capabilities", _CAPABILITIES)
    found: dict[str, bool] = {}
    for name in _CAPABILITIES.split():
        capability = given and given.form(name, "requested")
        if capability is not None:
            found[name] = capability.flag("requested")
    return found


def _read_interval(form: Form) -> Interval | None:
    """The schedule of automatic payouts. The business profile is read only to check its names."""
    form.form("business_profile", "mcc name product_description support_email support_url url")
    settings = form.form("settings", "payouts")
    payouts = settings and settings.form("payouts", "schedule")
    schedule = payouts and payouts.form("schedule", "interval")
    interval = schedule and schedule.choice("interval", "manual daily")
    return None if interval is None else "manual" if interval == "manual" else "daily"


@dataclass(frozen=True)
class LinkState:
    """A link and its account, for the page."""

    link: AccountLink
    account: Account
    is_open: bool


def link_state(ledger: Ledger, link_id: str) -> LinkState | None:
    link = ledger.find(AccountLink, link_id)
    if link is None:
        return None
    account = found(ledger.find(Account, link.account), "account", link.account)
    return LinkState(link, account, is_open=not link.is_used and link.expires_at > int(time.time()))


def submit(ledger: Ledger, link_id: str, choice: Choice) -> Outcome:
    """Apply what a person chose on the onboarding page. A used or expired link changes nothing."""
    state = found(link_state(ledger, link_id), "account_link", link_id)
    if not state.is_open:
        return state.account
    account = rules.onboard(state.account, choice, bank_id=mint("ba"))
    ledger.save(replace(state.link, is_used=True), account)
    if account.progress == "checking":
        ledger.set_timer(CHECK, account.id, int(time.time()) + rules.CHECK_SECONDS)
    schedule_payout(ledger, account.id)
    return account


def login_state(ledger: Ledger, link_id: str) -> tuple[LoginLink, Account] | None:
    link = ledger.find(LoginLink, link_id)
    return None if link is None else (link, find_account(ledger, link.account))


def submit_in_dashboard(ledger: Ledger, link_id: str, choice: Choice) -> Outcome:
    """Apply what a person changed in the dashboard of the account. A used link changes nothing."""
    link, account = found(login_state(ledger, link_id), "login_link", link_id)
    if link.is_used:
        return account
    account = rules.onboard(account, choice, bank_id=mint("ba"))
    ledger.save(replace(link, is_used=True), account)
    schedule_payout(ledger, account.id)
    return account


def verify(ledger: Ledger, account_id: str) -> None:
    """Complete an account whose details are being verified."""
    account = find_account(ledger, account_id)
    if account.progress == "checking":
        ledger.save(replace(account, progress="complete"))
        schedule_payout(ledger, account_id)

"""The HTML of the page on which a seller gives the details that Stripe needs for payouts."""

from html import escape

from sandbox.stripe.connect.accounts import LinkState
from sandbox.stripe.connect.rules import Choice
from sandbox.stripe.connect.state import Account
from sandbox.stripe.pages import CHOICE_STYLE, page

_CHOICES: dict[Choice, tuple[str, str]] = {
    "complete": ("Submit all details", "The account can receive payouts"),
    "checking": ("Submit all details, to be checked", "Stripe accepts the account a few seconds later"),
    "failing_bank": ("Submit a wrong bank account", "The account is complete, but its payouts fail"),
    "later": ("Save for later", "The bank account is still missing"),
    "rejected": ("Be rejected", "Stripe doesn't accept the account"),
}
"""What can happen: name and effect."""

_NOTE = (
    '<p class="note">Sandbox payouts: this page simulates Stripe\'s, asks for no real details, and no real'
    " money moves.</p>"
)


def show(state: LinkState, *, alert: str | None = None) -> str:
    """The page of an open link. Its form posts to the page's own URL."""
    who = f" for {state.account.email}" if state.account.email else ""
    return page(
        "Get paid out",
        f"<p>{escape(f'Stripe needs your details and your bank account{who}.')}</p>{_form(alert)}"
        f'<p class="note"><a href="{escape(state.link.return_url)}">Back without a change</a></p>{_NOTE}',
        CHOICE_STYLE,
    )


def dashboard(account: Account, *, alert: str | None = None) -> str:
    """The dashboard of an account that has all details."""
    return page(
        "Your Express dashboard",
        f"<p>{escape(f'The account {account.id} can be changed here.')}</p>{_form(alert)}{_NOTE}",
        CHOICE_STYLE,
    )


def changed() -> str:
    return page("Your changes are saved", "<p>You can close this page.</p>")


def _form(alert: str | None) -> str:
    """A form that posts to the page's own URL."""
    warning = f'<p class="alert" role="alert">{escape(alert)}</p>' if alert else ""
    return (
        f'{warning}<form method="post"><fieldset><legend>What should happen?</legend>{_radios()}</fieldset>'
        f'<button class="primary">Continue</button></form>'
    )


def _radios() -> str:
    radios: list[str] = []
    for value, (name, effect) in _CHOICES.items():
        checked = " checked" if not radios else ""
        radios.append(
            f'<label><input type="radio" name="choice" value="{value}" required{checked}>'
            f"<span>{escape(name)}</span><small>{escape(effect)}</small></label>"
        )
    return "".join(radios)


def unknown() -> str:
    return page("Link not found", "<p>Go back to the shop and start again.</p>")

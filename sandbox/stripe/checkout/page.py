"""The HTML of the page on which a buyer pays, in each of its states."""

from html import escape

from sandbox.stripe.checkout.operations import SessionState
from sandbox.stripe.money import amount
from sandbox.stripe.pages import CHOICE_STYLE, page
from sandbox.stripe.state import Intent, Line, Session

CARDS = {
    "tok_visa": ("Visa", "The payment succeeds"),
    "tok_chargeDeclined": ("Declined card", "The bank declines the payment"),
    "tok_chargeDeclinedInsufficientFunds": ("Empty account", "Declined: insufficient funds"),
    "tok_threeDSecure2Required": ("3-D Secure card", "The bank asks you to confirm"),
}
"""The test cards: token, name and effect."""

_STYLE = (
    CHOICE_STYLE
    + """
ul { list-style: none; margin: 0 0 1rem; padding: 0 }
ul li { display: flex; justify-content: space-between; gap: 1rem }
ul li span:first-child { overflow-wrap: anywhere }
ul li span:last-child { white-space: nowrap; font-variant-numeric: tabular-nums }
"""
)
_NOTE = '<p class="note">Sandbox payments: this page simulates Stripe\'s, and no real money moves.</p>'


def show(state: SessionState, *, base_url: str, alert: str | None = None) -> str:
    """The page for the session's state. `alert` defaults to the reason why the last attempt failed."""
    if state.session.status == "complete":
        return page("Payment received", _thanks(success_url(state.session)) + _NOTE, _STYLE)
    if state.session.status == "expired":
        text = "<p>The time to pay is over. Nothing was charged.</p>"
        return page("This page has expired", text + _cancel_link(state.session) + _NOTE, _STYLE)
    return page("Pay by card", _form(state, base_url, alert or why_failed(state.intent)), _STYLE)


def unknown() -> str:
    return page("Payment page not found", "<p>Go back to the shop and start the payment again.</p>")


def success_url(session: Session) -> str:
    return session.success_url.replace("{CHECKOUT_SESSION_ID}", session.id)


def why_failed(intent: Intent | None) -> str | None:
    """The reason why the last attempt to pay failed, worded for the buyer.

    Stripe's message about a failed 3-D Secure check is replaced, because it is meant for developers.
    """
    error = intent and intent.last_payment_error
    if not error:
        return None
    if error.cause.code == "payment_intent_authentication_failure":
        return "Your bank didn't confirm the payment. Try again or use another card."
    return f"{error.cause.message} Try again or use another card."


def _form(state: SessionState, base_url: str, alert: str | None) -> str:
    session, intent = state.session, state.intent
    total = escape(amount(session.amount, session.currency))
    warning = f'<p class="alert" role="alert">{escape(alert)}</p>' if alert else ""
    check = ""
    if intent is not None and intent.challenge:
        link = f'<a href="{escape(base_url)}/3d_secure/{intent.challenge}">Confirm the payment</a>'
        check = f"<p>Your bank is waiting for your answer. {link}, or pay again.</p>"
    lines = "".join(_line(line, session.currency) for line in session.lines)
    return (
        f'<p class="amount">{total}</p><ul>{lines}</ul>'
        f'{warning}{check}<form method="post"><fieldset><legend>Test card</legend>{_cards()}</fieldset>'
        f'<button class="primary">Pay {total}</button></form>{_cancel_link(session)}{_NOTE}'
    )


def _line(line: Line, currency: str) -> str:
    times = f"{line.quantity} x " if line.quantity > 1 else ""
    price = amount(line.unit_amount * line.quantity, currency)
    return f"<li><span>{times}{escape(line.name)}</span><span>{escape(price)}</span></li>"


def _cards() -> str:
    radios: list[str] = []
    for token, (name, effect) in CARDS.items():
        checked = " checked" if not radios else ""
        radios.append(
            f'<label><input type="radio" name="card" value="{token}" required{checked}>'
            f"<span>{escape(name)}</span><small>{escape(effect)}</small></label>"
        )
    return "".join(radios)


def _thanks(url: str) -> str:
    return f'<p>Thank you. The payment is complete.</p><p><a href="{escape(url)}">Back to the shop</a></p>'


def _cancel_link(session: Session) -> str:
    if session.cancel_url is None:
        return ""
    return f'<p class="note"><a href="{escape(session.cancel_url)}">Back to the shop without paying</a></p>'

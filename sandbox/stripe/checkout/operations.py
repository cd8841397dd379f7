"""The operations of Checkout's endpoints and page, each in one transaction."""

import time
from dataclasses import dataclass

from sandbox.stripe import intents
from sandbox.stripe.cards import name_of
from sandbox.stripe.checkout import rules
from sandbox.stripe.connect import balance
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Outcome, found, mint
from sandbox.stripe.params import SESSION_EXPANDS, check_amount, read_currency, read_expand, read_url
from sandbox.stripe.state import Challenge, Intent, Line, PaymentMethod, Session
from sandbox.stripe.store import Ledger

_CREATE = """cancel_url client_reference_id expand expires_at line_items metadata mode payment_intent_data
    success_url"""
_MAX_TOTAL = 99_999_999


def create_session(tree: Tree) -> Job:
    form = Form(tree, _CREATE)
    form.required("mode")
    form.choice("mode", "payment payment")
    form.required("success_url")
    lines, currency = _read_lines(form)
    payment = form.form("payment_intent_data", "capture_method description metadata") or Form({}, "")
    now = int(time.time())
    session = Session(
        id=mint("cs_test", 58),
        created=now,
        expires_at=rules.expiry(form.integer("expires_at"), now=now),
        currency=currency,
        lines=lines,
        success_url=str(read_url(form, "success_url")),
        cancel_url=read_url(form, "cancel_url"),
        client_reference_id=form.text("client_reference_id", longest=200),
        metadata=_set(form.metadata()),
        capture_method=payment.choice("capture_method", "automatic automatic_async manual")
        or "automatic_async",
        intent_metadata=_set(payment.metadata()),
        intent_description=payment.text("description"),
    )

    def work(ledger: Ledger) -> Outcome:
        ledger.save(session)
        return session

    return Job(work, read_expand(form, SESSION_EXPANDS))


def _set(metadata: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if value != ""}


def _read_lines(form: Form) -> tuple[tuple[Line, ...], str]:
    """The line items and their currency."""
    lines, currencies = [], set()
    for item in form.forms("line_items", "price_data quantity"):
        price = item.required_form("price_data", "currency product_data unit_amount")
        price.required("currency")
        price.required("unit_amount")
        name = price.required_form("product_data", "description name").required("name")
        item.required("quantity")
        quantity, unit_amount = item.amount("quantity"), price.amount("unit_amount")
        assert quantity is not None
        assert unit_amount is not None
        lines.append(Line(mint("li"), name, unit_amount, quantity))
        currencies.add(str(read_currency(price)))
    if not lines:
        raise StripeError("Missing required param: line_items.", code="parameter_missing", param="line_items")
    if len(currencies) > 1:
        raise StripeError("All line items must have the same currency.", param="line_items")
    total, currency = sum(line.unit_amount * line.quantity for line in lines), currencies.pop()
    if total > _MAX_TOTAL:
        raise StripeError(
            "The total amount must be no more than $999,999.99", code="amount_too_large", param="line_items"
        )
    check_amount(total, currency, param="line_items", what="The Checkout Session's total amount")
    return tuple(lines), currency


def expire_session(session_id: str, tree: Tree) -> Job:
    expand = read_expand(Form(tree, "expand"), SESSION_EXPANDS)

    def work(ledger: Ledger) -> Outcome:
        session = found(ledger.find(Session, session_id), "checkout.session", session_id, param="session")
        return _expire(ledger, session)

    return Job(work, expand, changes=session_id)


def _expire(ledger: Ledger, session: Session) -> Session:
    intent = ledger.find(Intent, session.payment_intent)
    session, intent = rules.expire(session, intent, now=int(time.time()))
    ledger.save(intent, session)
    return session


def expire_due_sessions(ledger: Ledger) -> None:
    for session in ledger.due_sessions(int(time.time())):
        _expire(ledger, session)


def check_not_in_checkout(ledger: Ledger, intent: Intent, verb: str) -> None:
    rules.check_not_in_checkout(intent, ledger.find(Session, intent.checkout), verb)


def update_session(ledger: Ledger, intent: Intent) -> None:
    """Update the intent's session, if it has one, after an attempt to pay."""
    session = ledger.find(Session, intent.checkout)
    if session is not None and (after := rules.after_attempt(session, intent)) != session:
        ledger.save(after)


@dataclass(frozen=True)
class SessionState:
    """A session and its payment, for the page."""

    session: Session
    intent: Intent | None


def session_state(ledger: Ledger, session_id: str) -> SessionState | None:
    session = ledger.find(Session, session_id)
    return SessionState(session, ledger.find(Intent, session.payment_intent)) if session else None


def submit(ledger: Ledger, session_id: str, token: str, *, page: str) -> Outcome:
    """Pay on the page. A session that isn't open stays unchanged."""
    session = found(ledger.find(Session, session_id), "checkout.session", session_id, param="session")
    if session.status != "open":
        return session
    now, name = int(time.time()), name_of(token, "tok_")
    if name is None:
        raise StripeError("Choose a card.", param="card")
    intent = ledger.find(Intent, session.payment_intent)
    if intent is None:
        id_ = mint("pi")
        intent = rules.create_intent(
            session, intent_id=id_, client_secret=mint(f"{id_}_secret", 25), page=page, now=now
        )
        ledger.save(intent)
    method = PaymentMethod(mint("pm"), now, name)
    attempt = intents.confirm(intent, method, now=now, charge_id=mint("ch"), challenge_id=mint("tds"))
    charge = attempt.charge and balance.receive(ledger, attempt.charge)
    ledger.save(method, charge, attempt.intent, rules.after_attempt(session, attempt.intent))
    if attempt.intent.challenge:
        ledger.save(Challenge(attempt.intent.challenge, attempt.intent.id, attempt.intent.return_url))
    return attempt.intent

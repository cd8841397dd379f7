"""What sellers are told about their money."""

from datetime import UTC, datetime

from pydantic import BaseModel

from contracts.events import PayoutEvent, PayoutUpdated
from contracts.wire import Moment
from kit.texts import N_, _
from services.mail.kinds.base import Button, Content, Kind, Notice, Site
from services.mail.kinds.texts import money, one_line, short

SELLER = N_("You received this email because you sell tickets at Stagedoor.")


class PayoutFacts(BaseModel):
    """What messages say about the money for a sale."""

    order_id: str
    title: str
    code: str | None = None
    currency: str
    net: int
    paid_out: int
    held: int
    paid_at: Moment | None

    @classmethod
    def of(cls, payout: PayoutEvent) -> "PayoutFacts":
        return cls(
            order_id=payout.id,
            title=payout.title,
            code=payout.code,
            currency=payout.currency,
            net=payout.net,
            paid_out=payout.paid_out,
            held=max(payout.net - payout.paid_out, 0),
            paid_at=payout.paid_at,
        )

    @property
    def details(self) -> list[tuple[str, str]]:
        """What tells the sale apart."""
        order = [(_("Order"), self.code)] if self.code else []
        return [(_("Event"), one_line(self.title)), *order]

    @property
    def sale(self) -> str:
        return _("order %(code)s", code=self.code) if self.code else _("a sale")


class _PayoutKind(Kind[PayoutEvent, PayoutFacts]):
    events = (PayoutUpdated,)
    facts = PayoutFacts


class PaidOut(_PayoutKind):
    """Tells the seller that the money for a sale was paid to the account at Stripe."""

    name = "paid-out"

    def notice(self, event: PayoutEvent) -> Notice[PayoutFacts] | None:
        if event.state != "paid" or event.paid_at is None or event.paid_out == 0:
            return None
        return Notice(event.id, event.seller_id, event.paid_at, PayoutFacts.of(event))

    def content(self, facts: PayoutFacts, site: Site, url: str) -> Content:
        amount = money(facts.paid_out, facts.currency)
        settled = facts.net - facts.paid_out
        notes = (
            [_("%(amount)s of the sale settled what you owed.", amount=money(settled, facts.currency))]
            if settled > 0
            else []
        )
        return Content(
            subject=_("Paid: %(amount)s for %(title)s", amount=amount, title=short(facts.title)),
            heading=_("Paid to your account at Stripe"),
            lead=_(
                "We paid %(amount)s for %(sale)s to your account at Stripe.", amount=amount, sale=facts.sale
            ),
            details=[*facts.details, (_("Paid"), amount)],
            steps=[
                _("Stripe sends it to your bank, which may take a few days. You don't need to do anything.")
            ],
            button=Button(_("See your payouts"), f"{url}/account/payouts"),
            notes=notes,
            reason=_(SELLER),
        )

    def example(self) -> PayoutEvent:
        return EXAMPLE


class DebtSettled(_PayoutKind):
    """Tells the seller that nothing is transferred for a sale, because all of it settled what they owed."""

    name = "debt-settled"

    def notice(self, event: PayoutEvent) -> Notice[PayoutFacts] | None:
        if event.state != "paid" or event.paid_at is None or event.paid_out > 0:
            return None
        return Notice(event.id, event.seller_id, event.paid_at, PayoutFacts.of(event))

    def content(self, facts: PayoutFacts, site: Site, url: str) -> Content:
        amount = money(facts.net, facts.currency)
        return Content(
            subject=_("%(amount)s settled what you owed: %(title)s", amount=amount, title=short(facts.title)),
            heading=_("Your sale settled what you owed"),
            lead=_(
                "All of the %(amount)s for %(sale)s settled what you owed, so we pay you nothing.",
                amount=amount,
                sale=facts.sale,
            ),
            details=[*facts.details, (_("Settled"), amount)],
            steps=[
                _("You owed it because buyers of earlier sales got money back after we had paid you."),
                _("Your payouts show what you still owe, if anything. You don't need to do anything."),
            ],
            button=Button(_("See your payouts"), f"{url}/account/payouts"),
            reason=_(SELLER),
        )

    def example(self) -> PayoutEvent:
        return EXAMPLE.model_copy(update={"paid_out": 0})


class SetUpPayouts(_PayoutKind):
    """Reminds the seller that money is due, and that Stripe needs details before it can be paid.

    A seller gets at most one such message a week, however many sales are due.
    """

    name = "set-up-payouts"

    def notice(self, event: PayoutEvent) -> Notice[PayoutFacts] | None:
        if not event.needs_account or event.due_at is None or event.reminders == 0:
            return None
        reminded_at = event.reminded_at or event.due_at
        year, week, _day = reminded_at.isocalendar()
        return Notice(f"{event.seller_id}:{year}-{week}", event.seller_id, reminded_at, PayoutFacts.of(event))

    def content(self, facts: PayoutFacts, site: Site, url: str) -> Content:
        amount = money(facts.held, facts.currency)
        return Content(
            subject=_("We can't pay you %(amount)s yet: %(title)s", amount=amount, title=short(facts.title)),
            heading=_("Your money is due: set up your payouts"),
            lead=_(
                "%(amount)s for %(sale)s is due, but your account at Stripe isn't ready to receive it.",
                amount=amount,
                sale=facts.sale,
            ),
            details=[*facts.details, (_("Due"), amount)],
            steps=[
                _("Open your payouts to read what Stripe needs from you."),
                _("We pay you as soon as the account is ready. Until then, the money stays yours."),
            ],
            button=Button(_("Set up payouts"), f"{url}/account/payouts"),
            reason=_(SELLER),
        )

    def example(self) -> PayoutEvent:
        return WAITING_EXAMPLE


EXAMPLE = PayoutUpdated(
    id="65f0c0ffee0000000000000b",
    version=2,
    seller_id="65f0c0ffee0000000000000e",
    title="Low Roar: the last concert",
    code="7K3WPD9RXE",
    state="paid",
    amount=5990,
    fee=300,
    net=5690,
    paid_out=5690,
    currency="usd",
    due_at=datetime(2027, 6, 15, 18, 30, tzinfo=UTC),
    paid_at=datetime(2027, 6, 15, 18, 31, tzinfo=UTC),
)
WAITING_EXAMPLE = EXAMPLE.model_copy(
    update={
        "state": "due",
        "paid_out": 0,
        "paid_at": None,
        "needs_account": True,
        "reminders": 1,
        "reminded_at": datetime(2027, 6, 15, 18, 31, tzinfo=UTC),
    }
)

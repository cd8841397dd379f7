"""What pages say about a seller's money."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from contracts.api import Payout, PayoutSums
from contracts.guarantees import duration
from contracts.money import from_minor_units
from web.rendering import locales
from web.rendering.texts import N_, _

LABELS = {
    "held": N_("Held"),
    "due": N_("On its way"),
    "paid": N_("Paid"),
    "frozen": N_("Frozen"),
    "reversed": N_("Returned"),
}
TONES = {"held": "waiting", "due": "waiting", "paid": "good", "frozen": "waiting", "reversed": "quiet"}


def amount(minor: int, currency: str) -> str:
    """An amount in the current locale."""
    return locales.money(from_minor_units(minor), currency, locales.current())


def short_date(moment: datetime, zone: str | None) -> str:
    return locales.date_and_time_in_zone(moment, zone, locales.current())


@dataclass(frozen=True)
class ShownPayout:
    """The money for one sale, as its seller reads it."""

    payout: Payout

    @property
    def label(self) -> str:
        return N_("Due") if self.payout.needs_account else LABELS[self.payout.state]

    @property
    def tone(self) -> str:
        return TONES[self.payout.state]

    @property
    def net(self) -> str:
        return amount(self.payout.net, self.payout.currency)

    @property
    def note(self) -> str:
        """Where the money is, in one sentence."""
        payout = self.payout
        match payout.state:
            case "held" if payout.due_at is not None:
                return _("Held until %(day)s") % {"day": short_date(payout.due_at, payout.time_zone)}
            case "held":
                return _("Held until seven days after the delivery")
            case "due" if payout.needs_account:
                return _("Due: set up your payouts to get it")
            case "due":
                return _("On its way to your account at Stripe")
            case "frozen":
                return _("Frozen: the buyer reported a problem, or may get the money back")
            case "reversed":
                return _("The buyer got the money back")
            case _:
                return _("Paid to your account at Stripe")

    @property
    def parts(self) -> list[tuple[str, str]]:
        """How the net amount comes about, and what became of it."""
        payout = self.payout
        known = [
            (_("Buyer paid"), payout.amount),
            (_("Our fee"), payout.fee),
            (_("Returned to the buyer"), payout.refunded_amount),
            (_("Settled what you owed"), payout.settled_amount),
            (_("You owe"), payout.owed),
        ]
        return [(name, amount(minor, payout.currency)) for name, minor in known if minor]


@dataclass(frozen=True)
class ShownSums:
    """A seller's money in one currency."""

    sums: PayoutSums

    @property
    def parts(self) -> list[tuple[str, str]]:
        sums = self.sums
        always = [
            (_("Sold"), sums.sold),
            (_("Held"), sums.held),
            (_("On its way"), sums.due - sums.waiting),
            (_("Paid"), sums.paid),
        ]
        sometimes = [
            (_("Due"), sums.waiting),
            (_("Returned to buyers"), sums.refunded),
            (_("Our fees"), sums.fees),
            (_("You owe"), sums.owed),
        ]
        shown = [*always, *(part for part in sometimes if part[1])]
        return [(name, amount(minor, sums.currency)) for name, minor in shown]


def fee_of(price: Decimal, percent: Decimal) -> Decimal:
    """The platform's fee if a ticket is sold for this price now, rounded half up."""
    return (price * percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)


def fee_text(percent: float) -> str:
    """The platform's fee for new sales."""
    if not percent:
        return _("We take no fee.")
    return _("We keep %(share)s of each sale.") % {
        "share": f"{locales.number(percent, locales.current())}\u00a0%"
    }


def date_text(hours: float) -> str:
    """When a seller is paid."""
    return _(
        "You are paid %(time)s after the event begins, or after the delivery if that is later. If the"
        " ticket has no date, you are paid seven days after the delivery."
    ) % {"time": duration(hours, _)}

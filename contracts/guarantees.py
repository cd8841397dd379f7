"""What is guaranteed, by whom and until when: the only place of these statements.

Pages and emails show them. Whoever changes what the code does changes them here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from contracts.tickets import FAILED_SALE_DAYS, MAX_FAILED_SALES, Delivery

PAGE = "/how-it-works"

DELIVERY_BEFORE_START = timedelta(hours=4)
"""How long before the event promised files must be there."""
PROBLEM_HOURS = 48
"""How long after the event's start a buyer may report a problem. Until then, the seller isn't paid."""
ANSWER_HOURS = 48
"""How long after a report its seller may answer. After that, or after the answer, an operator decides."""
PROBLEM_WITHOUT_DATE = timedelta(days=7)
"""How long after the delivery a buyer may report a problem, if the listing has no date."""
PROBLEM_WITHOUT_DELIVERY = timedelta(days=30)
"""How long after the payment a buyer may report a problem, if there is no date, and nothing was delivered."""
PAYOUT_WITHOUT_DATE = timedelta(days=7)
"""How long after the delivery the seller is paid, if the listing has no date."""


def N_(text: str) -> str:  # noqa: N802 # gettext's usual name
    """Mark a text for extraction. Pages translate it when they show it."""
    return text


DAYS, HOURS = N_("%(count)s days"), N_("%(count)s hours")


def duration(hours: float, translate: Callable[[str], str] = str) -> str:
    """A time such as "3 days", or "49 hours" if it isn't a whole number of days."""
    days, rest = divmod(hours, 24)
    text, count = (DAYS, days) if days >= 2 and not rest else (HOURS, hours)
    return translate(text) % {"count": f"{count:g}"}


def numbers(
    delivery_hours: float, payout_hours: float, translate: Callable[[str], str] = str
) -> Mapping[str, str]:
    """What replaces the names in the texts.

    Args:
        delivery_hours: how long after the payment a seller may upload promised files.
        payout_hours: how long after the start of the event its seller is paid.
    """
    return {
        "delivery_hours": f"{delivery_hours:g}",
        "hours_before": f"{DELIVERY_BEFORE_START // timedelta(hours=1)}",
        "payout_time": duration(payout_hours, translate),
        "payout_days": f"{PAYOUT_WITHOUT_DATE.days}",
        "problem_hours": f"{PROBLEM_HOURS}",
        "problem_days": f"{PROBLEM_WITHOUT_DATE.days}",
        "answer_hours": f"{ANSWER_HOURS}",
        "failed_sales": f"{MAX_FAILED_SALES}",
        "failed_days": f"{FAILED_SALE_DAYS}",
    }


@dataclass(frozen=True)
class Guarantee:
    what: str
    by: str
    until: str
    when: str = ""
    """To which tickets it applies. Empty if to all."""


US, SELLER = N_("Stagedoor"), N_("The seller")

DELIVERY: dict[Delivery, Guarantee] = {
    "instant": Guarantee(
        N_(
            "The ticket's files are stored here, sealed. You can download them as soon as your payment is "
            "complete, and nobody could read them here before."
        ),
        US,
        N_("The completion of your payment"),
        N_("Tickets with instant delivery"),
    ),
    "promised": Guarantee(
        N_(
            "The seller promises to upload the ticket's files within %(delivery_hours)s hours after your "
            "payment, and at least %(hours_before)s hours before the event. If they aren't here by then, we "
            "refund the whole price automatically."
        ),
        US,
        N_(
            "%(delivery_hours)s hours after your payment, or %(hours_before)s hours before the event if "
            "that is earlier"
        ),
        N_("Tickets that the seller uploads after the sale"),
    ),
    "seller": Guarantee(
        N_(
            "The seller hands the ticket over to you before the event. We tell the seller to do it, but "
            "there is no automatic refund if it doesn't happen: you can report it on the page of your order."
        ),
        SELLER,
        N_("The start of the event"),
        N_("Tickets that the seller hands over"),
    ),
}
"""How the buyer gets the ticket."""

UPLOAD: dict[Delivery, str] = {
    "promised": N_(
        "Upload all tickets now, and the buyer gets them at once after paying. Or upload them later: within "
        "%(delivery_hours)s hours after the payment, and at least %(hours_before)s hours before the event. "
        "Otherwise the buyer gets the money back."
    ),
    "seller": N_(
        "You hand the ticket over yourself, so you don't need to upload anything. If you upload all tickets "
        "before the sale, the buyer gets them at once after paying."
    ),
}
"""What a seller may or has to upload, while the listing is on sale and files are missing."""

HELD = Guarantee(
    N_("While you have time to pay, nobody else can buy the ticket."), US, N_("The end of your reservation")
)
PRICE = Guarantee(
    N_("You pay the price that you see. Buyers pay no fees."), US, N_("The completion of your payment")
)
CHARGED = Guarantee(
    N_(
        "You are charged only if the ticket is reserved for you. If it can't be sold to you, your payment "
        "is cancelled or refunded."
    ),
    US,
    N_("The completion of your order"),
)
DESCRIBED = Guarantee(N_("The ticket is real, unused and as described."), SELLER, N_("The end of the event"))
PAID = Guarantee(
    N_(
        "You get the money for a sold ticket %(payout_time)s after the start of the event, or after "
        "the delivery if that is later. If the listing has no date, you get it %(payout_days)s days after "
        "the delivery. You need a payout account. Nothing is paid out for a sale that was refunded, is "
        "disputed or has a reported problem."
    ),
    US,
    N_(
        "%(payout_time)s after the start of the event or a later delivery, or %(payout_days)s days "
        "after the delivery if the listing has no date"
    ),
)

REPORTED = Guarantee(
    N_(
        "If the ticket doesn't arrive, isn't accepted or isn't as described, you can report it once, with "
        "photos, on the page of your order. The seller has %(answer_hours)s hours to answer. Then an "
        "operator of Stagedoor reads both sides and decides whether you get the whole price back, a part of "
        "it, or nothing. The seller's money is frozen until then."
    ),
    US,
    N_(
        "%(problem_hours)s hours after the start of the event, or %(problem_days)s days after the delivery "
        "if the listing has no date"
    ),
)
ANSWERED = Guarantee(
    N_(
        "If a buyer reports a problem, we freeze the money of that sale and tell you. You can answer once. "
        "Then, or without an answer when the time is over, an operator decides. If you are right, you are "
        "paid."
    ),
    US,
    N_("%(answer_hours)s hours after the report"),
)

SEALED = Guarantee(
    N_(
        "If %(failed_sales)s of your sales fail within %(failed_days)s days, because promised files didn't "
        "arrive or an operator upheld a report, nobody can find or buy your new listings before you have "
        "uploaded their files."
    ),
    US,
    N_("%(failed_days)s days after the sale failed"),
)

FOR_BUYERS: Sequence[Guarantee] = (PRICE, HELD, CHARGED, *DELIVERY.values(), DESCRIBED, REPORTED)
FOR_SELLERS: Sequence[Guarantee] = (PAID, ANSWERED, SEALED)

NOT_GUARANTEED: Sequence[str] = (
    N_(
        "We check that uploaded files can be read. We can't check whether the organizer accepts them at the "
        "entrance."
    ),
    N_(
        "We don't check who sellers are. Whether they sell privately or as a trader is what they state "
        "themselves, and some haven't said."
    ),
    N_("We don't check the face value and the restrictions that a seller states."),
    N_("If an event is cancelled or moved, we don't refund automatically."),
)
"""What nobody should expect of the marketplace."""

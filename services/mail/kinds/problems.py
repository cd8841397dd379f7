"""What buyers and sellers are told about reported problems. The texts of both sides are only on the pages."""

from collections.abc import Mapping
from datetime import timedelta

from contracts import guarantees
from contracts.events import OrderEvent, OrderUpdated, ProblemKind, ProblemState
from contracts.wire import Moment
from kit.texts import N_, _
from services.mail.kinds.base import Button, Content, Kind, Notice, Site
from services.mail.kinds.orders import BUYER, EXAMPLE, SELLER, OrderFacts
from services.mail.kinds.texts import day_and_time, money, short

WHAT: Mapping[ProblemKind, str] = {
    "not-received": N_("The buyer says that the ticket didn't arrive."),
    "invalid": N_("The buyer says that the ticket wasn't accepted."),
    "not-as-described": N_("The buyer says that the ticket isn't as described."),
}


class ProblemFacts(OrderFacts):
    """What messages say about a reported problem."""

    problem: ProblemState
    kind: ProblemKind
    answer_by: Moment
    refund_minor: int = 0
    """What the buyer gets back altogether."""

    @classmethod
    def of_report(cls, order: OrderEvent) -> "ProblemFacts":
        return cls.model_validate(
            {
                **dict(OrderFacts.of(order)),
                "problem": order.problem,
                "kind": order.problem_kind,
                "answer_by": order.problem_answer_by,
                "refund_minor": order.refund_due,
            }
        )

    @property
    def answer_until(self) -> str:
        return day_and_time(self.answer_by, self.time_zone)

    @property
    def is_whole(self) -> bool:
        """Whether an operator decided that the buyer gets the whole price back."""
        return self.refund_minor >= self.price_minor

    def refund(self, site: Site) -> str:
        """What the buyer gets back."""
        return money(min(self.refund_minor, self.price_minor), site.currency)


class ProblemMessage(Kind[OrderEvent, ProblemFacts]):
    """A kind of message about a reported problem."""

    events = (OrderUpdated,)
    facts = ProblemFacts

    def example(self) -> OrderEvent:
        return REPORTED_EXAMPLE


class ProblemReported(ProblemMessage):
    """Tells the seller that the buyer has reported a problem, and until when to answer."""

    name = "problem-reported"

    def notice(self, event: OrderEvent) -> Notice[ProblemFacts] | None:
        if event.problem != "open" or event.problem_at is None or event.seller_id is None:
            return None
        return Notice(event.id, event.seller_id, event.problem_at, ProblemFacts.of_report(event))

    def content(self, facts: ProblemFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_(
                "The buyer reports a problem (%(order)s): %(title)s",
                order=facts.order,
                title=short(facts.title),
            ),
            heading=_("The buyer reports a problem"),
            lead=_(WHAT[facts.kind]),
            details=facts.details(),
            steps=[
                _(
                    "Read the report under My sales, and answer it by %(deadline)s.",
                    deadline=facts.answer_until,
                ),
                _("You can answer once. Say what shows that the ticket was delivered and valid."),
            ],
            button=Button(_("My sales"), f"{url}/listings?status=sold"),
            notes=[_(guarantees.ANSWERED.what, **site.numbers)],
            reason=_(SELLER),
        )


class ProblemAnswered(ProblemMessage):
    """Tells the buyer that the seller has answered."""

    name = "problem-answered"

    def notice(self, event: OrderEvent) -> Notice[ProblemFacts] | None:
        if event.problem != "answered" or event.problem_answered_at is None:
            return None
        return Notice(event.id, event.user_id, event.problem_answered_at, ProblemFacts.of_report(event))

    def content(self, facts: ProblemFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_(
                "The seller has answered (%(order)s): %(title)s", order=facts.order, title=short(facts.title)
            ),
            heading=_("The seller has answered"),
            lead=_("An operator of Stagedoor now reads both sides and decides. Then we tell you."),
            details=facts.details(),
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            reason=_(BUYER),
        )

    def example(self) -> OrderEvent:
        return ANSWERED_EXAMPLE


class _Decision(ProblemMessage):
    """A decision of an operator. A refund for another reason has messages of its own."""

    def example(self) -> OrderEvent:
        return DECIDED_EXAMPLE


class ProblemDecided(_Decision):
    """Tells the buyer what an operator has decided."""

    name = "problem-decided"

    def notice(self, event: OrderEvent) -> Notice[ProblemFacts] | None:
        if not _is_decided(event) or event.problem_decided_at is None:
            return None
        return Notice(event.id, event.user_id, event.problem_decided_at, ProblemFacts.of_report(event))

    def content(self, facts: ProblemFacts, site: Site, url: str) -> Content:
        is_rejected = facts.problem == "rejected"
        amount = facts.refund(site)
        if is_rejected:
            lead = _("We have read both sides, and don't refund the ticket.")
        elif facts.is_whole:
            lead = _(
                "We have read both sides. You get %(amount)s back, which is the whole price. Your"
                " bank may take a few days.",
                amount=amount,
            )
        else:
            lead = _(
                "We have read both sides. You get %(amount)s of the price back. Your bank may take"
                " a few days.",
                amount=amount,
            )
        return Content(
            subject=_(
                "Decided: the problem that you reported (%(order)s): %(title)s",
                order=facts.order,
                title=short(facts.title),
            ),
            heading=_("Your report isn't upheld") if is_rejected else _("You get money back"),
            lead=lead,
            details=facts.details(),
            steps=[_("Open your order to read the reason.")],
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            reason=_(BUYER),
        )


class ProblemSettled(_Decision):
    """Tells the seller what an operator has decided."""

    name = "problem-settled"

    def notice(self, event: OrderEvent) -> Notice[ProblemFacts] | None:
        if not _is_decided(event) or event.problem_decided_at is None or event.seller_id is None:
            return None
        return Notice(event.id, event.seller_id, event.problem_decided_at, ProblemFacts.of_report(event))

    def content(self, facts: ProblemFacts, site: Site, url: str) -> Content:
        is_rejected = facts.problem == "rejected"
        amount = facts.refund(site)
        if is_rejected:
            lead = _(
                "We have read both sides. The buyer gets nothing back, and your money is no longer frozen."
            )
        elif facts.is_whole:
            lead = _(
                "We have read both sides. The buyer will get %(amount)s back, which is the whole"
                " price. You get that much less.",
                amount=amount,
            )
        else:
            lead = _(
                "We have read both sides. The buyer will get %(amount)s of the price back. You get"
                " that much less.",
                amount=amount,
            )
        return Content(
            subject=_(
                "Decided: the problem that your buyer reported (%(order)s): %(title)s",
                order=facts.order,
                title=short(facts.title),
            ),
            heading=_("The report isn't upheld") if is_rejected else _("The buyer gets money back"),
            lead=lead,
            details=facts.details(),
            steps=[_("Open My sales to read the reason.")],
            button=Button(_("My sales"), f"{url}/listings?status=sold"),
            reason=_(SELLER),
        )


def _is_decided(event: OrderEvent) -> bool:
    is_refund = event.problem in ("refunded", "partly-refunded") and event.refund_due > 0
    return event.problem == "rejected" or is_refund


assert EXAMPLE.ticket.starts_at is not None
_AT = EXAMPLE.ticket.starts_at + timedelta(hours=2)
REPORTED_EXAMPLE = EXAMPLE.model_copy(
    update={
        "version": 6,
        "delivery": "delivered",
        "problem": "open",
        "problem_kind": "invalid",
        "problem_at": _AT,
        "problem_answer_by": _AT + timedelta(hours=guarantees.ANSWER_HOURS),
    }
)
ANSWERED_EXAMPLE = REPORTED_EXAMPLE.model_copy(
    update={"version": 7, "problem": "answered", "problem_answered_at": _AT + timedelta(hours=1)}
)
DECIDED_EXAMPLE = ANSWERED_EXAMPLE.model_copy(
    update={
        "version": 8,
        "problem": "partly-refunded",
        "problem_decided_at": _AT + timedelta(hours=5),
        "refund_due": 500,
    }
)

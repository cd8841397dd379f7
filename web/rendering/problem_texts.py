"""What pages say about a reported problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from contracts.api import Order, PhotoSide, ReportedProblem, ReportPhoto, SoldOrder
from contracts.events import ProblemKind, ProblemState
from contracts.money import from_minor_units
from web.rendering.texts import N_

KINDS: Mapping[ProblemKind, str] = {
    "not-received": N_("I did not get the ticket"),
    "invalid": N_("The ticket was not accepted"),
    "not-as-described": N_("The ticket is not as described"),
}
STATES: Mapping[ProblemState, str] = {
    "open": N_("Waiting for the seller's answer"),
    "answered": N_("Waiting for our decision"),
    "refunded": N_("Upheld: whole price returned"),
    "partly-refunded": N_("Upheld: part of the price returned"),
    "rejected": N_("Not upheld"),
}
TONES: Mapping[ProblemState, str] = {
    "open": "waiting",
    "answered": "waiting",
    "refunded": "good",
    "partly-refunded": "good",
    "rejected": "quiet",
}


@dataclass(frozen=True)
class ShownProblem:
    """A reported problem, as buyer and seller read it."""

    problem: ReportedProblem
    order_id: str
    photos: Sequence[ReportPhoto] = ()

    @classmethod
    def of(cls, order: Order | SoldOrder | None) -> Self | None:
        """The problem of an order, if its buyer has reported one."""
        if order is None or order.problem is None:
            return None
        return cls(order.problem, order.id, order.photos)

    def photos_of(self, side: PhotoSide) -> Sequence[ReportPhoto]:
        """The photos that this side has added."""
        return [photo for photo in self.photos if photo.by == side]

    @property
    def kind(self) -> str:
        return KINDS[self.problem.kind]

    @property
    def state(self) -> str:
        return STATES[self.problem.state]

    @property
    def tone(self) -> str:
        return TONES[self.problem.state]

    @property
    def refunded(self) -> Decimal | None:
        """How much the decision returns to the buyer, if anything."""
        return from_minor_units(self.problem.refunded) if self.problem.refunded else None

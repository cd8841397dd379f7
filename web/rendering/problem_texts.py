"""What pages say about a reported problem."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from contracts.api import ReportedProblem
from contracts.events import ProblemKind, ProblemState
from contracts.money import from_minor_units
from web.rendering.texts import N_

KINDS: Mapping[ProblemKind, str] = {
    "not-received": N_("I did not get the ticket"),
    "invalid": N_("The ticket was not accepted"),
    "not-as-described": N_("The ticket is not as described"),
}
STATES: Mapping[ProblemState, str] = {
    "open": N_("Waiting for an answer of the seller"),
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

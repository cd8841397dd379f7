"""The report of a problem that an order stores."""

from pydantic import BaseModel, ConfigDict

from contracts.events import OPEN_PROBLEMS, ProblemKind, ProblemState
from contracts.wire import Moment


class ProblemReport(BaseModel):
    """What the buyer reported, what the seller answered, and what an operator decided."""

    model_config = ConfigDict(frozen=True)

    kind: ProblemKind
    text: str
    reported_at: Moment
    answer_by: Moment
    """Until when the seller may answer."""
    state: ProblemState = "open"
    answer: str | None = None
    answered_at: Moment | None = None
    refund_minor: int = 0
    """How much the decision returns to the buyer."""
    reason: str | None = None
    """Why an operator decided so. Buyer and seller read it."""
    decided_at: Moment | None = None
    """When an operator decided, or the order was refunded for another reason."""

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided yet."""
        return self.state in OPEN_PROBLEMS

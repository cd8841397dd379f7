"""Errors on the wire: `application/problem+json` (RFC 9457) with a list of what is wrong."""

from collections.abc import Sequence

from contracts.wire import Wire

PROBLEM_JSON = "application/problem+json"


class ProblemItem(Wire):
    """One thing that is wrong; `field` names the input it is about, if there is one."""

    message: str
    field: str | None = None


class Problem(Wire):
    """The body of every answer with a status of 400 or more."""

    type: str
    title: str
    status: int
    errors: Sequence[ProblemItem]
    reference: str | None = None
    """Of an unexpected error: stands in the log beside what happened."""

    @classmethod
    def of(
        cls, status: int, title: str, *, code: str | None = None, reference: str | None = None
    ) -> "Problem":
        """A problem with one message, the title."""
        return cls(
            type=f"/problems/{code}" if code else "about:blank",
            title=title,
            status=status,
            errors=[ProblemItem(message=title)],
            reference=reference,
        )

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

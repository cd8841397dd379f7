"""Error responses: `application/problem+json` (RFC 9457) with a list of errors."""

from collections.abc import Sequence

from pydantic import ConfigDict

from contracts.wire import Wire, left_out_if_none

PROBLEM_JSON = "application/problem+json"


class ProblemItem(Wire):
    """One error. If an input field caused the error, `field` names the input field."""

    model_config = ConfigDict(json_schema_extra=left_out_if_none("field"))

    message: str
    field: str | None = None


class Problem(Wire):
    """The body of every response with a status of 400 or more."""

    model_config = ConfigDict(json_schema_extra=left_out_if_none("reference"))

    type: str
    """`/problems/` and the name of the error, or `about:blank`."""
    title: str
    status: int
    errors: Sequence[ProblemItem]
    reference: str | None = None
    """The trace id of an unexpected error, by which operators find the error in the log."""

    @classmethod
    def of(
        cls,
        status: int,
        title: str,
        *,
        code: str | None = None,
        field: str | None = None,
        reference: str | None = None,
    ) -> "Problem":
        """A problem with a single error, whose message is the title. `field` names the input field."""
        return cls(
            type=f"/problems/{code}" if code else "about:blank",
            title=title,
            status=status,
            errors=[ProblemItem(message=title, field=field)],
            reference=reference,
        )

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

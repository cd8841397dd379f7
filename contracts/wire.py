"""The base of every model that crosses a process boundary."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    """camelCase on the wire, snake_case in Python, immutable."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    def to_json(self) -> str:
        """The wire form: camelCase JSON."""
        return self.model_dump_json(by_alias=True)


def _to_milliseconds(moment: datetime) -> datetime:
    """UTC, cut to the millisecond: MongoDB keeps no more, and a time must equal its stored self."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Moment = Annotated[AwareDatetime, AfterValidator(_to_milliseconds)]
"""An aware time in UTC with millisecond precision; ISO 8601 on the wire."""

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
"""A MongoDB ObjectId as 24 lower-case hexadecimal digits."""


def now() -> datetime:
    """The current time as a `Moment`."""
    return _to_milliseconds(datetime.now(UTC))

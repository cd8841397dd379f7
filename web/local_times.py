"""Local times as people enter them, without an offset from UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def moments(local: datetime, zone: ZoneInfo) -> Sequence[datetime]:
    """The moments at which clocks show a local time, in order: usually one.

    None when clocks go forward and skip the time, two when they go back and show the time twice.

    Args:
        local: without a time zone.

    Raises:
        OverflowError: it can't be represented in UTC.
    """
    # `fold` selects one of two moments, or the offset before or after a gap: https://peps.python.org/pep-0495/
    candidates = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    shown = (moment.astimezone(zone) for moment in sorted(candidates))
    return [moment for moment in shown if moment.replace(tzinfo=None) == local]


def first_after_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """The first whole minute that clocks show after a local time that they skip."""
    minute = local.replace(second=0, microsecond=0)
    while not (found := moments(minute, zone)):
        minute += timedelta(minutes=1)
    return found[0]


def offset(moment: datetime) -> str:
    """The offset of a moment's time zone from UTC, such as +02:00."""
    return moment.isoformat().removeprefix(moment.replace(tzinfo=None).isoformat())

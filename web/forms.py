"""Forms: what people typed, what is wrong with it, and the proof that our own page sent it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from litestar.config.csrf import CSRFConfig

from contracts.problems import Problem
from settings import Settings

CSRF_COOKIE = "csrf"

_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True)
class Form:
    """A form as it is shown: values are kept when something is wrong with them."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """By field."""
    general: tuple[str, ...] = ()
    """Errors that are about no field that the form has."""

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def is_wrong(self) -> bool:
        return bool(self.errors or self.general)


@dataclass(frozen=True)
class Fields:
    """The fields of a form, by the names that the API gives them, with their labels."""

    labels: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)
    """Replaces the API's words where they name the field as developers do."""

    def values(self, data: Mapping[str, str], *, secret: frozenset[str] = frozenset()) -> Mapping[str, str]:
        return {name: data.get(name, "") for name in self.labels if name not in secret}

    def refused(self, values: Mapping[str, str], problem: Problem) -> Form:
        """The form again, with what the service said beside each field."""
        errors: dict[str, str] = {}
        general: list[str] = []
        for item in problem.errors:
            if item.field in self.labels:
                errors.setdefault(str(item.field), self.words.get(str(item.field), item.message))
            else:
                general.append(item.message)
        return Form(values, errors, tuple(general))


ZONES = tuple(
    """
    UTC Europe/Amsterdam Europe/Athens Europe/Berlin Europe/Brussels Europe/Bucharest Europe/Budapest
    Europe/Copenhagen Europe/Dublin Europe/Helsinki Europe/Istanbul Europe/Kyiv Europe/Lisbon Europe/London
    Europe/Madrid Europe/Oslo Europe/Paris Europe/Prague Europe/Rome Europe/Sofia Europe/Stockholm
    Europe/Tallinn Europe/Vienna Europe/Vilnius Europe/Warsaw Europe/Zurich Atlantic/Reykjavik
    America/Anchorage America/Argentina/Buenos_Aires America/Bogota America/Chicago America/Denver
    America/Halifax America/Lima America/Los_Angeles America/Mexico_City America/New_York America/Phoenix
    America/Santiago America/Sao_Paulo America/Toronto America/Vancouver Africa/Cairo Africa/Johannesburg
    Africa/Lagos Africa/Nairobi Asia/Bangkok Asia/Dubai Asia/Hong_Kong Asia/Jakarta Asia/Jerusalem
    Asia/Kolkata Asia/Manila Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Tokyo Australia/Brisbane
    Australia/Melbourne Australia/Perth Australia/Sydney Pacific/Auckland Pacific/Honolulu
    """.split()
)
"""Time zones that a form offers. The API takes any."""


def utc_of(local: str, zone: str) -> str | None:
    """A `datetime-local` input's value in a time zone, as the API takes it; None if it can't be read."""
    try:
        moment = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return None


def plain_price(typed: str) -> str:
    """ "19,99" and " 19.99 € " as the API takes them; anything else as it was typed.

    A comma before three digits isn't touched: it may mean thousands, and a price is never guessed.
    """
    text = typed.strip().strip("$€£").strip()
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def csrf_config(settings: Settings) -> CSRFConfig:
    return CSRFConfig(
        secret=csrf_secret(settings),
        cookie_name=CSRF_COOKIE,
        cookie_secure=settings.cookie_secure,
        cookie_httponly=True,
        cookie_samesite="lax",
    )


def csrf_secret(settings: Settings) -> str:
    if settings.csrf_secret is not None:
        return settings.csrf_secret.get_secret_value()
    return settings.kept("web/csrf-secret")

"""The words and numbers of templates: prices, times, addresses of static files."""

import math
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from litestar.plugins.jinja import JinjaTemplateEngine

from contracts.api import LONGEST_HOLD
from contracts.wire import now
from settings import Settings
from web import locales
from web.assets import ASSETS

HERE = Path(__file__).parent
NEAR = timedelta(days=180)
"""A day within so much of today is said without its year."""


def engine(settings: Settings) -> JinjaTemplateEngine:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        static=lambda name: ASSETS[name].address,
        noise=noise,
        currency=settings.currency.upper(),
        is_sandbox=settings.uses_stripe_sandbox,
        pays_at_checkout=settings.pays_at_checkout,
        more_time_at=int(settings.expiration_window_seconds / 3),
        window=_window(settings.expiration_window_seconds),
        longest_hold=_window(LONGEST_HOLD.total_seconds()),
        has_more_time=settings.expiration_window_seconds < LONGEST_HOLD.total_seconds(),
    )
    environment.filters.update(
        money=_money(settings.currency),
        day=day,
        short_day=short_day,
        near_day=near_day,
        time_of_day=time_of_day,
        date_part=date_part,
        month=month,
        has_begun=has_begun,
        seconds_left=seconds_left,
        countdown=countdown,
        in_words=in_words,
    )
    return JinjaTemplateEngine.from_environment(environment)


def noise() -> str:
    """Of a random length: how far a page shrinks by compression tells nothing of the secrets in it.

    As "Heal the Breach" has it (Palacios and others, 2022, https://ieeexplore.ieee.org/document/9754554).
    Fragments do without: no other site can have one fetched, since it can't send HX-Request.
    """
    return secrets.token_hex(secrets.randbelow(64))


def _money(currency: str) -> Callable[[Context, Decimal], str]:
    @pass_context
    def money(context: Context, amount: Decimal) -> str:
        return locales.money(amount, currency, context["locale"])

    return money


@pass_context
def day(context: Context, moment: datetime, zone: str | None = None) -> str:
    """Sat, Dec 12, 2026, 8:00 PM (Berlin time), or UTC if no place is known."""
    place = locales.place(zone)
    return locales.date_and_time(moment, zone, context["locale"]) + (
        " UTC" if place == "UTC" else f" ({place})"
    )


@pass_context
def short_day(context: Context, moment: datetime, zone: str | None = None) -> str:
    """Sat, Dec 12, 2026, 8:00 PM: for lists; the ticket's own page names the zone."""
    return locales.date_and_time(moment, zone, context["locale"])


@pass_context
def near_day(context: Context, moment: datetime, zone: str | None = None) -> str:
    """Sat, Dec 12, with the year only where it could be mistaken."""
    skeleton = "MMMEd" if abs(moment - now()) < NEAR else "yMMMEd"
    return locales.part_of_date(skeleton, moment, zone, context["locale"])


@pass_context
def time_of_day(context: Context, moment: datetime, zone: str | None = None) -> str:
    """8:00 PM"""
    return locales.time_of_day(moment, zone, context["locale"])


@pass_context
def date_part(context: Context, moment: datetime, skeleton: str, zone: str | None = None) -> str:
    """By CLDR's skeletons: `d` gives 12, `MMM` Dec, `E` Sat, `yMMMEd` Sat, Dec 12, 2026."""
    return locales.part_of_date(skeleton, moment, zone, context["locale"])


@pass_context
def month(context: Context, moment: datetime) -> str:
    """December 2026"""
    return locales.part_of_date("yMMMM", moment, None, context["locale"])


def has_begun(starts_at: datetime | None) -> bool:
    return starts_at is not None and starts_at <= now()


def seconds_left(deadline: datetime) -> int:
    """Whole seconds by the server's clock; 0 once it is over."""
    return max(0, math.ceil((deadline - now()).total_seconds()))


def countdown(seconds: int) -> str:
    """837 → 13:57"""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_words(seconds: int) -> str:
    """837 → "13 minutes": how long there is still time, never more than there is."""
    count, unit = (seconds // 60, "minute") if seconds >= 60 else (seconds, "second")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _window(seconds: float) -> str:
    """The time to pay, in words: 900 → "15 minutes"."""
    return in_words(round(seconds / 60) * 60 if seconds >= 60 else round(seconds))

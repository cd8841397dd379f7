"""The words and numbers of templates: prices, times, addresses of static files."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from litestar.plugins.jinja import JinjaTemplateEngine

from contracts.wire import now
from settings import Settings

HERE = Path(__file__).parent
STATIC = HERE.parent / "static"
LONGEST_HOLD_SECONDS = 1800
"""In all, for a buyer who got more time."""
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "cad": "CA$", "aud": "A$"}


def engine(settings: Settings) -> JinjaTemplateEngine:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = {
        str(path.relative_to(STATIC)): _version(path)
        for folder in ("css", "js", "icons", "vendor/htmx")
        for path in sorted((STATIC / folder).glob("*.*"))
    }
    environment.globals.update(
        static=lambda name: f"/static/{name}?v={versions[name]}",
        currency=settings.currency.upper(),
        is_sandbox=settings.uses_stripe_sandbox,
        pays_at_checkout=settings.pays_at_checkout,
        more_time_at=int(settings.expiration_window_seconds / 3),
        window=_window(settings.expiration_window_seconds),
        longest_hold=_window(LONGEST_HOLD_SECONDS),
        has_more_time=settings.expiration_window_seconds < LONGEST_HOLD_SECONDS,
    )
    environment.filters.update(
        money=_money(settings.currency),
        day=day,
        has_begun=has_begun,
        short_day=short_day,
        month=month,
        clock=clock,
        countdown=countdown,
    )
    return JinjaTemplateEngine.from_environment(environment)


def _version(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _money(currency: str) -> Callable[[Decimal], str]:
    symbol = SYMBOLS.get(currency)

    def money(amount: Decimal) -> str:
        return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency.upper()}"

    return money


def day(moment: datetime, zone: str | None = None) -> str:
    """Sat 12 Dec 2026, 20:00 (Berlin time), or UTC if no place is known."""
    place = (zone or "UTC").rpartition("/")[2].replace("_", " ")
    return short_day(moment, zone) + (" UTC" if place == "UTC" else f" ({place} time)")


def short_day(moment: datetime, zone: str | None = None) -> str:
    """Sat 12 Dec 2026, 20:00: for lists; the ticket's own page names the zone."""
    local = moment.astimezone(ZoneInfo(zone or "UTC"))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def has_begun(starts_at: datetime | None) -> bool:
    return starts_at is not None and starts_at <= now()


def month(moment: datetime) -> str:
    """December 2026"""
    return f"{moment:%B %Y}"


def clock(moment: datetime) -> str:
    """20:00 UTC"""
    return f"{moment:%H:%M} UTC"


def countdown(seconds: int) -> str:
    """837 → 13:57"""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _window(seconds: float) -> str:
    """The time to pay, in words: 900 → "15 minutes"."""
    count, unit = (round(seconds / 60), "minute") if seconds >= 60 else (round(seconds), "second")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"

"""The template engine, and its filters for prices, times and tickets."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from jinja2.utils import htmlsafe_json_dumps
from litestar.plugins.jinja import JinjaTemplateEngine
from markupsafe import Markup, escape

from contracts import guarantees
from contracts.api import MAX_HOLD, Ticket
from contracts.tickets import TicketDetails
from contracts.wire import now
from kit import texts
from kit.device_names import device_name
from settings import Settings
from web.languages import NAMES, canonical, prefix_of
from web.rendering import fragments, locales, payout_texts, ticket_texts
from web.rendering.assets import MODULES, address
from web.rendering.isolation import bdi, isolated
from web.rendering.previews import SIZE
from web.rendering.prices import Prices
from web.rendering.script_texts import price_summaries, script_texts

TEMPLATES = Path(__file__).parents[1] / "templates"
APOSTROPHE = "\u2019"
"""That of templates. Emails have the other one."""
SKELETONS = {"weekday": "E", "day": "d", "month": "MMM"}
"""The CLDR skeletons of the parts of a date."""


def engine(settings: Settings) -> JinjaTemplateEngine:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        auto_reload=False,  # checking whether a template has changed takes 6 % of the time to render a page
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    texts.load()
    environment.install_gettext_callables(texts.gettext, texts.plural, newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(
        static=address,
        module_addresses=[module.address for name, module in MODULES.items() if name != "main.js"],
        kept_card=fragments.card(environment),
        kept_brief=fragments.brief(environment),
        language=texts.language,
        languages=NAMES,
        prefix_of=prefix_of,
        canonical=partial(canonical, settings.site),
        site=settings.site,
        script_texts=lambda: htmlsafe_json_dumps(script_texts()),
        price_summaries=price_summaries,
        currency=settings.currency.upper(),
        fee_percent=f"{settings.fee_percent:f}",
        fee_text=partial(payout_texts.fee_text, float(settings.fee_percent)),
        payout_text=partial(payout_texts.date_text, settings.payout_hours),
        is_sandbox=settings.uses_stripe_sandbox,
        mailbox=f"http://localhost:{settings.mailbox_port}" if settings.uses_mailbox else None,
        pays_at_checkout=settings.pays_at_checkout,
        pay_after_start=settings.pay_after_start,
        extendable_at=int(settings.expiration_window_seconds / 3),
        window=partial(_window, settings.expiration_window_seconds),
        longest_hold=partial(_window, MAX_HOLD.total_seconds()),
        guarantees=guarantees,
        preview_size=SIZE,
        has_more_time=settings.expiration_window_seconds < MAX_HOLD.total_seconds(),
    )
    prices = Prices(settings.currency)
    environment.filters.update(
        price=_each_time(prices.text),
        price_each=_each_time(prices.each),
        price_total=_each_time(prices.total),
        face_value=_each_time(prices.face_value),
        face_value_line=_each_time(prices.face_value_line),
        fee=partial(payout_texts.fee_of, percent=settings.fee_percent),
        percentage=_each_time(percentage),
        guarantee=_each_time(_guarantee(settings)),
        money=_each_time(_money(settings.currency)),
        price_range=_each_time(_price_range(settings.currency)),
        country_name=_each_time(locales.country_name),
        device_name=_each_time(device_name),
        day=_each_time(day),
        day_in_zone=_each_time(day_in_zone),
        short_day=_each_time(short_day),
        near_day=_each_time(near_day),
        time_in_zone=_each_time(time_in_zone),
        date_part=_each_time(date_part),
        month=_each_time(month),
        has_begun=ticket_texts.has_begun,
        seconds_left=seconds_left,
        milliseconds=milliseconds,
        countdown=countdown,
        date_and_city=_each_time(date_and_city),
        location=ticket_texts.location,
        bdi=bdi,
        isolated=isolated,
        category_label=ticket_texts.category_label,
        category_icon=ticket_texts.category_icon,
        category_and_seat=ticket_texts.category_and_seat,
        tickets_together=ticket_texts.tickets_together,
        delivery_label=ticket_texts.delivery_label,
        file_kind=ticket_texts.file_kind,
        file_size=ticket_texts.file_size,
        code_spans=code_spans,
    )
    return JinjaTemplateEngine.from_environment(environment)


def _each_time(text_of: Callable[..., str]) -> Callable[..., str]:
    """A filter that Jinja applies at each rendering, because its result depends on the current locale.

    Jinja applies a filter to a constant only once, unless the filter takes the context.
    """

    @pass_context
    def show(_context: Context, *arguments: Any) -> str:
        return text_of(*arguments)

    return show


def _money(currency: str) -> Callable[[Decimal], str]:
    def money(amount: Decimal) -> str:
        return locales.money(amount, currency, locales.current())

    return money


def _guarantee(settings: Settings) -> Callable[[str], str]:
    """A filter for the statements of contracts/guarantees.py."""

    def guarantee(text: str) -> str:
        numbers = guarantees.numbers(settings.delivery_hours, settings.payout_hours, texts._)
        return texts._(text, **numbers).replace("'", APOSTROPHE)

    return guarantee


def percentage(percent: Decimal) -> str:
    """A percentage such as 7.5 %."""
    return f"{locales.number(percent.normalize(), locales.current())}\u00a0%"


def _price_range(currency: str) -> Callable[[Decimal, Decimal], str]:
    def price_range(lowest: Decimal, highest: Decimal) -> str:
        """Two prices with a dash between them, such as $15.00 and $40.00; one if they are equal."""
        prices = dict.fromkeys((lowest, highest))
        return "\u2013".join(locales.money(each, currency, locales.current()) for each in prices)

    return price_range


def code_spans(text: str) -> Markup:
    """HTML of a text in which backticks enclose code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def day(moment: datetime, zone: str | None = None) -> str:
    """A date for a ticket's page, such as Sat, Dec 12, 2026, 8:00 PM (Berlin time). UTC if `zone` is None."""
    return locales.date_and_time_in_zone(moment, zone, locales.current())


def short_day(moment: datetime, zone: str | None = None) -> str:
    """A date without the time zone, such as Sat, Dec 12, 2026, 8:00 PM."""
    return locales.date_and_time(moment, zone, locales.current())


def near_day(moment: datetime, zone: str | None = None) -> str:
    """A date for cards, such as Sat, Dec 12. The year is shown if the date isn't near today."""
    skeleton = "yMMMEd" if ticket_texts.is_distant(moment) else "MMMEd"
    return locales.part_of_date(skeleton, moment, zone, locales.current())


def time_in_zone(moment: datetime, zone: str | None = None) -> Markup:
    """A time for cards, such as 8:00 PM (Berlin time). UTC if `zone` is None. The zone stays on one line."""
    return _with_zone(locales.time_of_day(moment, zone, locales.current()), zone)


def day_in_zone(moment: datetime, zone: str | None = None) -> Markup:
    """The same as `day`, for cards."""
    return _with_zone(short_day(moment, zone), zone)


def _with_zone(text: str, zone: str | None) -> Markup:
    return Markup('{} <span class="zone">{}</span>').format(text, locales.zone_behind_time(zone))


def date_part(moment: datetime, part: Literal["weekday", "day", "month"], zone: str | None = None) -> str:
    """One part of a date: Sat, 12 or Dec."""
    return locales.part_of_date(SKELETONS[part], moment, zone, locales.current())


def month(moment: datetime) -> str:
    """A month such as December 2026."""
    return locales.part_of_date("yMMMM", moment, None, locales.current())


def date_and_city(ticket: TicketDetails) -> Markup:
    """The date and the city, such as Sat, Dec 12, 2026, 8:00 PM (Berlin time) · Berlin."""
    date = day(ticket.starts_at, ticket.time_zone) if ticket.starts_at else None
    place = ticket.city or ticket.venue
    return Markup(" · ").join(filter(None, (date, bdi(place) if place else None)))


def seconds_left(deadline: datetime) -> int:
    """Whole seconds until the deadline by the server's clock; 0 after the deadline."""
    return max(0, math.ceil((deadline - now()).total_seconds()))


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, as JavaScript counts time."""
    return int(moment.timestamp() * 1000)


def countdown(seconds: int) -> str:
    """The text of a countdown: 837 → 13:57"""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_words(seconds: int) -> str:
    """A duration in words: 837 → "13 minutes". Rounded down, so as not to promise more time than is left."""
    if seconds >= 60:
        return texts.ngettext("%(num)s minute", "%(num)s minutes", seconds // 60)
    return texts.ngettext("%(num)s second", "%(num)s seconds", seconds)


def why_unchangeable(ticket: Ticket) -> str | None:
    """Why the seller can't change a reserved ticket, and for how long. None if nobody holds it any more."""
    left = seconds_left(ticket.held_until) if ticket.held_until and ticket.status == "reserved" else 0
    if not left:
        return None
    return texts._(
        "A buyer has reserved this ticket and has %(time)s left to pay. "
        "You can change it if the buyer doesn't pay",
        time=in_words(left),
    )


def _window(seconds: float) -> str:
    """A duration in words, rounded to minutes: 900 → "15 minutes"."""
    return in_words(round(seconds / 60) * 60 if seconds >= 60 else round(seconds))

"""Parts of pages that are rendered once for the same ticket, because many pages show the same tickets."""

from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, Protocol

from jinja2 import Environment
from markupsafe import Markup
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from web.rendering import locales
from web.rendering.ticket_texts import has_begun, is_distant

MAX_FRAGMENTS = 2_000
"""Fragments of each kind that are kept: about 8 MB."""


class Shown(Protocol):
    """A ticket, or the ticket of an order. Equal ones look the same."""

    @property
    def starts_at(self) -> datetime | None:
        """When the event begins."""


def card(environment: Environment) -> Callable[..., Markup]:
    """The card of a ticket: a function of the ticket, of whether it is the viewer's, and of whether it is in
    sight.
    """
    render = _kept(environment, "tickets/parts.html", "card")

    def show(ticket: Shown, is_mine: bool = False, urgent: bool = False) -> Markup:
        return render(_time_of(ticket), ticket, bool(is_mine), bool(urgent))

    return show


def brief(environment: Environment) -> Callable[[Shown], Markup]:
    """The most important facts about a ticket."""
    render = _kept(environment, "macros.html", "brief")
    return lambda ticket: render(_time_of(ticket), ticket)


def _time_of(ticket: Shown) -> Hashable:
    """What changes as time passes: whether the event has begun, and whether its year is shown."""
    starts_at = ticket.starts_at
    return None if starts_at is None else (has_begun(starts_at), is_distant(starts_at))


def _kept(environment: Environment, template: str, macro: str) -> Callable[..., Markup]:
    """A macro whose results are kept for each locale.

    The first argument is whatever else the result depends on. The macro gets all others.
    """

    @lru_cache(MAX_FRAGMENTS)
    def render(_locale: Hashable, _time: Hashable, *arguments: Any) -> Markup:
        module: Any = environment.get_template(template).module
        return Markup(getattr(module, macro)(*arguments))  # noqa: S704 - the macro escapes its arguments

    REQUESTS.caches[macro] = render
    return lambda time, *arguments: render(locales.current(), time, *arguments)


class _Requests(Collector):
    """The metric of these caches, which count their hits and misses themselves."""

    def __init__(self) -> None:
        self.caches: dict[str, _lru_cache_wrapper[Markup]] = {}
        """By the name of the macro."""

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "stagedoor_web_fragment_cache_requests",
            "Fragments that were needed for pages",
            labels=["fragment", "result"],
        )
        for name, cache in self.caches.items():
            found = cache.cache_info()
            counts.add_metric([name, "hit"], found.hits)
            counts.add_metric([name, "miss"], found.misses)
        yield counts


REQUESTS = _Requests()
REGISTRY.register(REQUESTS)

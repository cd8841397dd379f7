"""The feed of a web process, for tests that need only a part of it."""

from datetime import timedelta

from kit.sessions import EndedSessions
from web.live.buyers import Buyers
from web.live.feed import Feed
from web.live.hub import Hub
from web.page_cache.cards import Cards
from web.page_cache.store import Store


def feed_of(hub: Hub) -> Feed:
    """A feed whose page cache keeps nothing."""
    pages = Store(0)
    cards = Cards(pages, lambda ticket, locale: "")
    return Feed(hub, pages, cards, Buyers(), EndedSessions(timedelta(hours=1)))

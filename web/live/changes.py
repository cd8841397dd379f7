"""Changes of tickets and orders, as events report them, and the last change of each topic."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

MAX_TOPICS = 20_000
"""Topics whose last change is kept: about 8 MB."""

Kind = Literal["order", "ticket", "show", "buyer", "seller", "alerts", "session"]
Topic = tuple[Kind, str]
"""What a stream watches: an order, a ticket, the tickets for an event, the orders of a buyer, the tickets of
a seller, what a user is told of, or the end of a session; each with its id."""


@dataclass(frozen=True)
class Change:
    """The topics that changed with the message that has this sequence number."""

    number: int
    topics: tuple[Topic, ...] = ()
    buyer: str | None = None
    """The buyer, who is the only user to receive signals about the order.

    If the buyer is unknown (None), all watchers of the order receive them. Each watcher was checked to be the
    buyer.
    """
    received_at: float = field(default_factory=monotonic, compare=False)


class LastChanges:
    """The last change of each topic, and from which sequence number on all changes are known."""

    def __init__(self, max_topics: int = MAX_TOPICS) -> None:
        self._by_topic: dict[Topic, Change] = {}
        """The last change of each topic, the oldest first."""
        self._complete_after: int | None = None
        """The sequence number after which all changes are known. None if there is no such number."""
        self._max_topics = max_topics

    @property
    def is_complete(self) -> bool:
        return self._complete_after is not None

    def add(self, change: Change) -> None:
        """Keep a change. Changes are added in the order of their numbers, without a gap."""
        if self._complete_after is None:
            self._complete_after = change.number - 1
        for topic in change.topics:
            self._by_topic.pop(topic, None)
            self._by_topic[topic] = change
        while len(self._by_topic) > self._max_topics:
            oldest = self._by_topic.pop(next(iter(self._by_topic)))
            self._complete_after = max(self._complete_after, oldest.number)

    def last(self, topic: Topic) -> int | None:
        """The number of the last known change of a topic."""
        change = self._by_topic.get(topic)
        return None if change is None else change.number

    def forget(self) -> None:
        """Forget all changes, because some may have been missed."""
        self._by_topic.clear()
        self._complete_after = None

    def confirm(self, number: int) -> None:
        """Declare that there was no other change after this number than those that were added."""
        known = self._complete_after
        self._complete_after = number if known is None else min(known, number)

    def since(self, topics: Iterable[Topic], number: int) -> list[Change] | None:
        """The last changes of topics after a number, oldest first; None if some may be unknown."""
        if self._complete_after is None or number < self._complete_after:
            return None
        found = {
            change.number: change
            for topic in topics
            if (change := self._by_topic.get(topic)) is not None and change.number > number
        }
        return [found[each] for each in sorted(found)]

"""The diagram of who publishes and who receives which event, as coordinates for an SVG."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from web.developers.catalogue import Event

ROW = 40
"""The distance between events."""
TOP = 34
"""The space above the first event, for the headings."""

PUBLISHERS, EVENTS, RECEIVERS = 10, 300, 620
"""The left edges of the columns."""
WIDTH = 140
EVENT_WIDTH = 190
HEIGHT = 28


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    x: int
    y: int
    """The middle of the box."""
    width: int


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes, as the path of an SVG."""

    path: str
    is_live: bool
    """Whether the receiver gets the event only while it is connected."""


@dataclass(frozen=True)
class Flow:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    height: int


def flow(events: Mapping[str, Event]) -> Flow:
    """The diagram: publishers on the left, events in the middle, and receivers on the right."""
    height = TOP + len(events) * ROW
    rows = {subject: TOP + row * ROW + ROW // 2 for row, subject in enumerate(events)}
    publishers = _spread((event.publisher for event in events.values()), height, PUBLISHERS)
    receivers = _spread(
        (consumer.process for event in events.values() for consumer in event.consumers), height, RECEIVERS
    )
    middle = {
        subject: Node(subject, f"/developers/events/{subject}", EVENTS, y, EVENT_WIDTH)
        for subject, y in rows.items()
    }
    edges = [_edge(publishers[event.publisher], middle[event.subject]) for event in events.values()]
    edges += [
        _edge(middle[event.subject], receivers[process], is_live=is_live)
        for event in events.values()
        for process, is_live in {
            consumer.process: consumer.durable is None
            for consumer in sorted(event.consumers, key=lambda consumer: consumer.durable is not None)
        }.items()
    ]
    return Flow((*publishers.values(), *middle.values(), *receivers.values()), tuple(edges), height)


def _spread(names: Iterable[str], height: int, x: int) -> dict[str, Node]:
    """A column with a box for each different name, at equal distances."""
    different = list(dict.fromkeys(names))
    step = (height - TOP) / len(different)
    return {
        name: Node(name, f"#{name}", x, round(TOP + (row + 0.5) * step), WIDTH)
        for row, name in enumerate(different)
    }


def _edge(start: Node, end: Node, *, is_live: bool = False) -> Edge:
    left, right = start.x + start.width, end.x
    bend = (left + right) // 2
    return Edge(f"M{left} {start.y} C{bend} {start.y} {bend} {end.y} {right} {end.y}", is_live)

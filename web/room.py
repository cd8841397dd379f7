"""How many may be served at once, and who waits for how long."""

import asyncio
from dataclasses import dataclass, field

Waiting = asyncio.Future[bool]


class Place:
    """Somebody's place in a room. It is given back once, however often that is said."""

    def __init__(self, room: "Room") -> None:
        self._room: Room | None = room

    def leave(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.vacate()


@dataclass
class Room:
    """So many places, and a short line before the door.

    Whoever came last is let in first, and where the line is full whoever has waited longest is sent away.
    As long as there is no more to do than can be done nobody notices; when there is, some are served at once
    and the others told so at once, while first come, first served would have everybody wait to the end of
    their patience and then serve those who are about to leave.
    """

    places: int
    line: int
    """How many may wait."""
    patience: float
    """Seconds, after which one who waits is sent away."""
    inside: int = 0
    _waiting: dict[Waiting, None] = field(default_factory=dict)
    """By arrival."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> Place | None:
        """A place, or None for who has to come back later."""
        if self.inside < self.places:  # then nobody waits: a place that falls free is handed on
            self.inside += 1
            return Place(self)
        return Place(self) if await self._wait() else None

    def vacate(self) -> None:
        """A place falls free: it is handed to who came last."""
        while self._waiting:
            waiting, _ = self._waiting.popitem()
            if not waiting.done():
                waiting.set_result(True)
                return
        self.inside -= 1

    async def _wait(self) -> bool:
        if self.line == 0:
            return False
        if len(self._waiting) >= self.line:
            self._send_away(next(iter(self._waiting)))
        loop = asyncio.get_running_loop()
        waiting: Waiting = loop.create_future()
        self._waiting[waiting] = None
        too_long = loop.call_later(self.patience, self._send_away, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            self._waiting.pop(waiting, None)
            if not waiting.cancelled() and waiting.result():
                self.vacate()  # it was handed a place in the same moment
            raise
        finally:
            too_long.cancel()

    def _send_away(self, waiting: Waiting) -> None:
        self._waiting.pop(waiting, None)
        if not waiting.done():
            waiting.set_result(False)

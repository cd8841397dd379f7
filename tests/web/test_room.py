"""So many are served at once, a few wait, and everybody's place is given back exactly once."""

import asyncio
import random

from tests.people import until
from web.room import Place, Room


def room(places: int = 1, line: int = 10, patience: float = 60.0) -> Room:
    return Room(places, line, patience)


async def waiting(room: Room, *names: str) -> dict[str, asyncio.Task[Place | None]]:
    """Who waits, one after another, by name."""
    tasks = {}
    for before, name in enumerate(names):
        tasks[name] = asyncio.create_task(room.enter())
        await _until_waiting(room, before + 1)
    return tasks


async def _until_waiting(room: Room, how_many: int) -> None:
    async def seen() -> int:
        return room.waiting

    await until(seen, lambda now: now == how_many, seconds=30)


def inside(tasks: dict[str, asyncio.Task[Place | None]]) -> list[str]:
    return [name for name, task in tasks.items() if task.done() and task.result()]


async def let_in(room: Room) -> Place:
    place = await room.enter()
    assert place is not None
    return place


async def settled(*tasks: asyncio.Task[Place | None]) -> None:
    async with asyncio.timeout(30):
        await asyncio.wait(tasks)


async def test_as_many_are_let_in_as_there_are_places() -> None:
    house = room(places=3)
    assert all([await house.enter() for _ in range(3)])
    await waiting(house, "a fourth")
    assert (house.inside, house.waiting) == (3, 1)


async def test_who_came_last_is_let_in_first() -> None:
    house = room()
    place = await let_in(house)
    tasks = await waiting(house, "first", "second", "last")
    place.leave()
    await settled(tasks["last"])
    assert inside(tasks) == ["last"]
    assert house.inside == 1


async def test_where_the_line_is_full_who_has_waited_longest_is_sent_away() -> None:
    house = room(line=2)
    await let_in(house)
    tasks = await waiting(house, "first", "second")
    newcomer = asyncio.create_task(house.enter())
    assert await tasks["first"] is None
    assert not tasks["second"].done()
    assert not newcomer.done()
    assert house.waiting == 2


async def test_without_a_line_who_finds_no_place_is_sent_away_at_once() -> None:
    house = room(line=0)
    await let_in(house)
    assert await house.enter() is None


async def test_who_has_waited_too_long_is_sent_away() -> None:
    house = room(patience=0.01)
    await let_in(house)
    async with asyncio.timeout(30):
        assert await house.enter() is None
    assert house.waiting == 0


async def test_a_place_is_given_back_once_however_often_that_is_said() -> None:
    house = room(places=2)
    first, _ = await let_in(house), await let_in(house)
    first.leave()
    first.leave()
    assert house.inside == 1


async def test_who_gives_up_waiting_is_no_longer_in_the_line() -> None:
    house = room()
    place = await let_in(house)
    tasks = await waiting(house, "patient", "hasty")
    tasks["hasty"].cancel()
    await settled(tasks["hasty"])
    place.leave()
    await settled(tasks["patient"])
    assert inside({"patient": tasks["patient"]}) == ["patient"]


async def test_a_place_that_is_handed_to_who_gives_up_in_that_moment_goes_to_the_next() -> None:
    house = room()
    place = await let_in(house)
    tasks = await waiting(house, "patient", "hasty")
    place.leave()
    tasks["hasty"].cancel()  # it has been handed the place, and hasn't run since
    await settled(*tasks.values())
    assert tasks["hasty"].cancelled()
    assert house.inside == 1
    assert inside({"patient": tasks["patient"]}) == ["patient"]


async def test_whatever_happens_to_those_who_come_all_places_are_free_in_the_end() -> None:
    rng = random.Random(7)  # noqa: S311 - repeatable
    house = room(places=3, line=4, patience=0.002)
    most = 0

    async def visit() -> None:
        nonlocal most
        if (place := await house.enter()) is None:
            return
        try:
            most = max(most, house.inside)
            await asyncio.sleep(rng.choice((0, 0.001)))
            if rng.random() < 0.2:
                raise RuntimeError
        finally:
            place.leave()

    visits = set()
    for _ in range(2_000):
        visits.add(asyncio.create_task(visit()))
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice([*visits]).cancel()
    await asyncio.gather(*visits, return_exceptions=True)
    assert most == 3
    assert (house.inside, house.waiting) == (0, 0)
    assert all([await house.enter() for _ in range(3)])

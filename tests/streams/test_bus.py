"""A process leaves a server from which nothing comes, though the connection seems to stand."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from nats.aio.client import Client

from services.kit.tokens import EndedSessions
from settings import Settings
from streams.bus import Bus
from tests.chaos.wires import Wire, wire
from tests.people import until
from tests.streams.conftest import Nats
from web.hub import Hub
from web.live_bus import listening

Ways = dict[int, Wire]
"""By port."""


@pytest_asyncio.fixture
async def ways(server: Nats, bus: Client) -> AsyncIterator[Ways]:
    """Two ways to one server, which are two servers to whoever takes them."""
    async with wire(server.port) as one, wire(server.port) as other:
        yield {one.port: one, other.port: other}


@pytest.fixture
def settings(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of processes that lose patience soon."""
    monkeypatch.setattr("streams.bus.PING_SECONDS", 0.5)
    monkeypatch.setattr("web.live_bus.PING_SECONDS", 0.5)
    return Settings(nats_url=",".join(f"nats://127.0.0.1:{port}" for port in ways))


async def connections(way: Wire) -> int:
    return way.connections


async def test_a_service_leaves_a_server_that_has_fallen_silent(settings: Settings, ways: Ways) -> None:
    bus = Bus(settings, "auth", EndedSessions(timedelta(hours=1)))
    await bus.start()
    await other_way_is_taken(ways)
    await until(bus.missing, lambda missing: not missing)
    await bus.stop()


async def test_web_leaves_a_server_that_has_fallen_silent(settings: Settings, ways: Ways) -> None:
    async with listening(settings, Hub()) as is_heard:
        await until(is_heard, bool)
        await other_way_is_taken(ways)
        await until(is_heard, bool)


async def other_way_is_taken(ways: Ways) -> None:
    """Once the one that is in use has fallen silent."""
    [used] = [way for way in ways.values() if way.connections]
    [other] = [way for way in ways.values() if way is not used]
    used.silence()
    await until(lambda: connections(other), lambda count: count == 1)

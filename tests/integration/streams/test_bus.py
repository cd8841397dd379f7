"""A process switches to another NATS server when its server falls silent without closing the connection."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from nats.aio.client import Client
from pydantic import SecretStr

from kit.background import running
from kit.sessions import EndedSessions
from settings import Settings
from streams.bus import Bus
from streams.delivery import Listener
from tests.integration.streams.conftest import Nats
from tests.resilience.chaos.proxies import Proxy, proxy
from tests.support.feeds import feed_of
from tests.support.polling import until
from web.live.hub import Hub
from web.live.subscriber import listening

Proxies = dict[int, Proxy]
"""Proxies by the port on which they listen."""


@pytest_asyncio.fixture
async def proxies(server: Nats, bus: Client) -> AsyncIterator[Proxies]:
    """Two proxies of one NATS server, which a client takes for two servers."""
    async with proxy(server.port) as first, proxy(server.port) as second:
        yield {first.port: first, second.port: second}


@pytest.fixture
def settings(proxies: Proxies, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with both proxies as servers. Frequent pings detect a silent server quickly."""
    monkeypatch.setattr("kit.nats.PING_SECONDS", 0.5)
    return Settings(nats_url=SecretStr(",".join(f"nats://127.0.0.1:{port}" for port in proxies)))


async def connections(server: Proxy) -> int:
    return server.connections


async def test_a_service_switches_servers_when_its_server_falls_silent(
    settings: Settings, proxies: Proxies
) -> None:
    bus = Bus(settings, Listener("auth"), EndedSessions(timedelta(hours=1)))
    async with running(bus.run()):
        await bus.started.wait()
        await silence_proxy_in_use(proxies)
        await until(bus.missing, lambda missing: not missing)
    await bus.stop()


async def test_web_switches_servers_when_its_server_falls_silent(
    settings: Settings, proxies: Proxies
) -> None:
    async with listening(settings, feed_of(Hub())) as is_connected:
        await until(is_connected, bool)
        await silence_proxy_in_use(proxies)
        await until(is_connected, bool)


async def silence_proxy_in_use(proxies: Proxies) -> None:
    """Silence the proxy that is in use, and wait for a connection through the other proxy."""
    [used] = [each for each in proxies.values() if each.connections]
    [other] = [each for each in proxies.values() if each is not used]
    used.silence()
    await until(lambda: connections(other), lambda count: count == 1)

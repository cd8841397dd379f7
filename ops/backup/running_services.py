"""Detects which services are running."""

import asyncio

import aiohttp
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from settings import SERVICES, ServiceName, Settings
from streams.processes import CONSUMERS

ANSWER_SECONDS = 3.0
PULLS_END_SECONDS = 5.0
"""How long NATS may still report pull requests of a process that has ended."""
POLL_SECONDS = 0.5


async def running(settings: Settings, js: JetStreamContext) -> list[ServiceName]:
    """The services whose address answers or whose consumers have pending pull requests."""
    timeout = aiohttp.ClientTimeout(connect=ANSWER_SECONDS, sock_read=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        found = await asyncio.gather(*(_answers(http, settings.url_of(service)) for service in SERVICES))
    if answering := [service for service, answers in zip(SERVICES, found, strict=True) if answers]:
        return answering
    clock = asyncio.get_running_loop()
    deadline = clock.time() + PULLS_END_SECONDS
    while pulling := [service for service in SERVICES if await _pulls(service, js)]:
        if clock.time() > deadline:
            return pulling
        await asyncio.sleep(POLL_SECONDS)
    return []


async def _pulls(service: ServiceName, js: JetStreamContext) -> bool:
    for consumer in CONSUMERS:
        if consumer.service != service:
            continue
        try:
            info = await js.consumer_info(consumer.stream, consumer.name)
        except NotFoundError:
            continue
        if info.num_waiting:
            return True
    return False


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/health/live"):
            return True
    except aiohttp.SocketTimeoutError:
        return True  # the process hangs but may continue
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False

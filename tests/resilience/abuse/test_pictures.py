"""Small uploads that take a decoder much time or memory."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.crafted_pictures import jpeg_of_empty_scans, segment
from tests.support.people import Person, signed_up
from tests.support.stack import Stack

CONCURRENCY = 12
"""Uploads that each attacker sends at the same time. Those of two attackers exceed the requests that web
serves at the same time."""
SECONDS = 100
"""Maximum duration until an upload succeeds during an attack, also on a busy machine. Before the defence, an
attack blocked all uploads as long as it lasted."""


def picture(kind: str = "JPEG", size: tuple[int, int] = (1600, 900), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind, **options)
    return file.getvalue()


ATTACKS = {
    "a JPEG of 12,000 scans": lambda: jpeg_of_empty_scans(5472, scans=12_000),
    "a WebP of 1.2 KB with 29 million pixels": lambda: picture("WEBP", (16_383, 1800), lossless=True),
    "a JPEG of a million empty comments": lambda: (
        picture()[:2] + segment(0xFE, b"") * 1_000_000 + picture()[2:]
    ),
}


class Seller:
    def __init__(self, person: Person, ticket: str) -> None:
        self.person = person
        self._path = f"/api/tickets/{ticket}/picture"

    async def uploads(self, content: bytes) -> httpx.Response:
        return await self.person.client.put(self._path, content=content)

    async def uploads_when_possible(self, content: bytes) -> httpx.Response:
        """Upload, and try again after the time that a busy service asks for."""
        while (answer := await self.uploads(content)).status_code == 503:  # noqa: ASYNC110 no event tells it
            await asyncio.sleep(int(answer.headers["Retry-After"]))
        return answer


@asynccontextmanager
async def sellers(stack: Stack, how_many: int) -> AsyncIterator[list[Seller]]:
    async with signed_up(stack.web, how_many) as people:
        yield [Seller(person, (await person.lists_ticket())["id"]) for person in people]


@asynccontextmanager
async def uploading(attackers: Sequence[Seller], content: bytes) -> AsyncIterator[Counter[int]]:
    """Let each attacker upload several pictures at a time until the block ends. Yields the statuses."""
    statuses: Counter[int] = Counter()

    async def attack(attacker: Seller) -> None:
        while True:
            status = (await attacker.uploads(content)).status_code
            statuses[status] += 1
            if status == 429:  # a flood of cheap requests isn't the subject
                await asyncio.sleep(1)

    tasks = [asyncio.create_task(attack(attacker)) for attacker in attackers for _ in range(CONCURRENCY)]
    try:
        yield statuses
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_expensive_pictures_do_not_hold_up_others(stack: Stack, attack: str) -> None:
    async with sellers(stack, 3) as (ann, *attackers):
        content = ATTACKS[attack]()
        async with uploading(attackers, content) as statuses:
            slowest = 0.0
            for change in range(2):
                started = time.monotonic()
                answer = await ann.uploads_when_possible(picture(quality=90 + change))
                assert answer.status_code == 200, answer.text
                assert (await ann.person.client.get("/")).status_code == 200
                slowest = max(slowest, time.monotonic() - started)
        assert slowest < SECONDS
        assert set(statuses) <= {200, 400, 429, 503}


async def test_the_12000_scans_are_refused_with_a_message(stack: Stack) -> None:
    async with sellers(stack, 1) as (attacker,):
        answer = await attacker.uploads(ATTACKS["a JPEG of 12,000 scans"]())
        assert answer.status_code == 400
        assert answer.json()["title"].startswith("The picture takes too long to process.")

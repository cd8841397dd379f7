"""Attacks on a running marketplace. Each goes on until it is cancelled."""

import asyncio
import io
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from bson import ObjectId
from PIL import Image

from tests.resilience.abuse.visitors import Refused, Visitor, address
from tests.support.people import PASSWORD, random_word


@dataclass
class Target:
    """The marketplace, and what it answered."""

    http: aiohttp.ClientSession
    web: str
    victim: str
    """The email address of a visitor."""
    statuses: Counter[int] = field(default_factory=Counter)

    async def send(self, method: str, path: str, sender: str, **request: Any) -> int:
        headers = {"X-Forwarded-For": sender, **request.pop("headers", {})}
        try:
            async with self.http.request(method, self.web + path, headers=headers, **request) as answer:
                await answer.read()
                self.statuses[answer.status] += 1
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            self.statuses[0] += 1
            return 0

    async def at_rate(self, per_second: float, act: Callable[[], Awaitable[object]]) -> None:
        """Begin `act` at this rate, without waiting for the answers."""
        async with asyncio.TaskGroup() as sent:
            while True:
                sent.create_task(_whatever(act))
                await asyncio.sleep(1 / per_second)

    async def in_parallel(self, connections: int, act: Callable[[], Awaitable[object]]) -> None:
        """Repeat `act` on several connections, each time as soon as the answer has arrived."""

        async def repeat() -> None:
            while True:
                await _whatever(act)
                await asyncio.sleep(0)

        await asyncio.gather(*(repeat() for _ in range(connections)))

    async def account(self) -> Visitor:
        """A new account of the attacker, from an address of its own."""
        visitor = Visitor(self.http, self.web)
        while not visitor.session:
            with suppress(Refused):  # by admission control, because of an earlier attack
                await visitor.signs_up()
        return visitor


async def _whatever(act: Callable[[], Awaitable[object]]) -> None:
    with suppress(Refused):
        await act()


def _wrong() -> dict[str, str]:
    return {"email": f"{secrets.token_hex(8)}@example.com", "password": "wrong horse battery"}


async def sign_ins_from_one_ipv6_network(target: Target) -> None:
    async def sign_in() -> None:
        sender = f"2600:1:2:3:{random.getrandbits(16):x}:{random.getrandbits(16):x}::1"
        await target.send("POST", "/api/users/signin", sender, json=_wrong())

    await target.at_rate(40, sign_in)


async def sign_ins_above_the_limit(target: Target) -> None:
    async def sign_in() -> None:
        await target.send("POST", "/api/users/signin", "11.1.1.1", json=_wrong())

    await target.in_parallel(48, sign_in)


async def guesses_of_one_password_from_many_addresses(target: Target) -> None:
    async def guess() -> None:
        wrong = {"email": target.victim, "password": secrets.token_hex(8)}
        await target.send("POST", "/api/users/signin", address(), json=wrong)

    await target.at_rate(10, guess)


async def guesses_of_many_passwords_from_many_addresses(target: Target) -> None:
    async def guess() -> None:
        await target.send("POST", "/api/users/signin", address(), json=_wrong())

    await target.at_rate(10, guess)


async def pictures_that_take_long_to_decode(target: Target) -> None:
    attackers = [await target.account() for _ in range(3)]
    tickets = [await attacker.lists_ticket() for attacker in attackers]
    pictures = (many_scans(5472, 12_000), lossless_webp(), many_segments())

    async def upload() -> None:
        number = random.randrange(len(attackers))  # noqa: S311
        sender = attackers[number]
        headers = {"Authorization": f"Bearer {sender.session}", "Content-Type": "image/jpeg"}
        path = f"/api/tickets/{tickets[number]}/picture"
        body = random.choice(pictures)  # noqa: S311
        await target.send("PUT", path, sender.address, data=body, headers=headers)

    await target.in_parallel(6, upload)


async def bodies_with_many_fields(target: Target) -> None:
    fields = b"{" + b",".join(b'"a%d":1' % number for number in range(100_000)) + b"}"
    json, form = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}

    async def send() -> None:
        await target.send("POST", "/api/users/signup", address(), data=fields, headers=json)
        await target.send("POST", "/sell", address(), data=b"a&" * 2_900_000, headers=form)

    await target.in_parallel(4, send)


async def bodies_that_never_end(target: Target) -> None:
    """Nine connections that send almost six megabytes, and then nothing."""
    site = urlsplit(target.web)
    assert site.hostname is not None

    @asynccontextmanager
    async def connected() -> Any:
        reader, writer = await asyncio.open_connection(site.hostname, site.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def hold(number: int) -> None:
        head = (
            f"POST /sell HTTP/1.1\r\nHost: {site.netloc}\r\nX-Forwarded-For: 11.2.2.{number}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 6000000\r\n\r\n"
        )
        while True:
            with suppress(OSError):
                async with connected() as (reader, writer):
                    writer.write(head.encode())
                    for _ in range(59):
                        writer.write(b"x" * 100_000)
                        await writer.drain()
                    line = await reader.readline()
                    target.statuses[int(line.split()[1]) if line else 0] += 1
            await asyncio.sleep(0.2)

    await asyncio.gather(*(hold(number) for number in range(1, 10)))


async def reservations_of_made_up_tickets(target: Target) -> None:
    attackers = [await target.account() for _ in range(5)]

    async def reserve() -> None:
        sender = random.choice(attackers)  # noqa: S311
        await target.send(
            "POST",
            "/api/orders",
            sender.address,
            json={"ticketId": str(ObjectId())},
            headers={"Authorization": f"Bearer {sender.session}"},
        )

    await target.at_rate(10, reserve)


async def holding_one_ticket_again_and_again(target: Target) -> None:
    seller, attacker = await target.account(), await target.account()
    ticket = await seller.lists_ticket()
    headers = {"Authorization": f"Bearer {attacker.session}"}

    async def hold() -> None:
        status = await target.send(
            "POST", "/api/orders", attacker.address, json={"ticketId": ticket}, headers=headers
        )
        if status == 201:
            for order in await attacker.asks("GET", "/api/orders", 200):
                if order["status"] == "created":
                    await target.send(
                        "DELETE", f"/api/orders/{order['id']}", attacker.address, headers=headers
                    )

    await target.in_parallel(1, hold)


async def listings_and_searches(target: Target) -> None:
    attacker = await target.account()
    headers = {"Authorization": f"Bearer {attacker.session}"}

    async def act() -> None:
        ticket = {"title": random_word(), "price": 19.99}
        await target.send("POST", "/api/tickets", attacker.address, json=ticket, headers=headers)
        await target.send("GET", f"/api/tickets?q={secrets.token_hex(2)}", "11.3.3.3")
        await target.send("GET", f"/?q={secrets.token_hex(2)}", "11.3.3.3")

    await target.in_parallel(8, act)


async def sign_ups_from_one_network(target: Target) -> None:
    async def sign_up() -> None:
        account = {"email": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD}
        await target.send("POST", "/api/users/signup", "11.4.4.4", json=account)

    await target.in_parallel(16, sign_up)


Attack = Callable[[Target], Awaitable[None]]

ATTACKS: tuple[Attack, ...] = (
    sign_ins_from_one_ipv6_network,
    sign_ins_above_the_limit,
    sign_ups_from_one_network,
    guesses_of_one_password_from_many_addresses,
    guesses_of_many_passwords_from_many_addresses,
    pictures_that_take_long_to_decode,
    bodies_with_many_fields,
    bodies_that_never_end,
    reservations_of_made_up_tickets,
    holding_one_ticket_again_and_again,
    listings_and_searches,
)


def many_scans(size: int, scans: int) -> bytes:
    """A progressive JPEG with additional scans, each of a few bytes, which a decoder reads one by one."""
    encoded = io.BytesIO()
    Image.new("L", (size, size)).save(encoded, "JPEG", progressive=True)
    jpeg = encoded.getvalue()
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * scans + jpeg[-2:]


def many_segments() -> bytes:
    """A small JPEG with a million empty comments, which a decoder reads one by one."""
    file = io.BytesIO()
    Image.new("RGB", (200, 200)).save(file, "JPEG")
    content = file.getvalue()
    return content[:2] + b"\xff\xfe\0\2" * 1_000_000 + content[2:]


def lossless_webp() -> bytes:
    """A picture of one color, with 29 million pixels in about a kilobyte."""
    encoded = io.BytesIO()
    Image.new("RGB", (16_383, 1_800)).save(encoded, "WEBP", lossless=True)
    return encoded.getvalue()

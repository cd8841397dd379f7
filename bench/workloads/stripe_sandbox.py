"""Whether the Stripe sandbox slows down as its data grows.

Payments are created, confirmed and captured one after another, with idempotency keys, on a sandbox with a
folder of its own. Meanwhile a shop receives the webhooks.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM

import httpx

from bench.figures import Figure
from bench.suite import Suite, Workload
from sandbox.processes import stripe
from sandbox.testing import free_port, running

WINDOW = 100
"""Number of payments for each median."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Shop:
    """Receives and counts webhooks."""

    received = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                self.received += 1
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def pay(http: httpx.AsyncClient, number: int) -> None:
    """Authorize and capture one payment."""
    order = {
        "amount": "1999",
        "currency": "usd",
        "capture_method": "manual",
        "metadata[order_id]": str(number),
    }
    intent = (await _post(http, "", order, f"order:{number}:pi"))["id"]
    card = {"payment_method": "pm_card_visa", "return_url": "http://shop.test/"}
    await _post(http, f"/{intent}/confirm", card, f"pi:{number}:confirm")
    captured = await _post(http, f"/{intent}/capture", {}, f"pi:{number}:capture")
    if captured["status"] != "succeeded":
        raise RuntimeError(f"payment {number} is {captured['status']}")


async def _post(http: httpx.AsyncClient, path: str, data: dict[str, str], key: str) -> dict[str, str]:
    answer = await http.post(f"/v1/payment_intents{path}", data=data, headers={"Idempotency-Key": key})
    answer.raise_for_status()
    body: dict[str, str] = answer.json()
    return body


async def pay_many(payments: int, folder: Path) -> tuple[list[float], int]:
    """Run the payments. Return the duration of each in milliseconds, and the number of webhooks."""
    times: list[float] = []
    shop, port = Shop(), free_port()
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    process = stripe(port, folder / "stripe")
    environment = {
        "PAYMENTS_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "STRIPE_WEBHOOK_SECRET": "whsec_of_the_bench",
    }
    process = replace(process, environment={**process.environment, **environment})
    async with (
        server,
        running(process, folder / "stripe.log", SIGTERM),
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", auth=("sk_test_bench", ""), timeout=30, trust_env=False
        ) as http,
    ):
        for number in range(1, payments + 1):
            before = time.perf_counter()
            await pay(http, number)
            times.append((time.perf_counter() - before) * 1000)
    return times, shop.received


def around(times: Sequence[float], number: int) -> Sequence[float]:
    """The durations of the payments around the given one, or of the last ones."""
    end = min(number + WINDOW // 2, len(times))
    return times[max(end - WINDOW, 0) : end]


def figures(times: Sequence[float]) -> list[Figure]:
    points = [point for point in (100, 1_000, 10_000, 100_000) if point < len(times)] + [len(times)]
    return [
        Figure(
            workload="payments at the Stripe sandbox",
            name=f"payment {point:,}",
            unit="ms",
            runs=[statistics.median(around(times, point))],
            baseline=f"payment {points[0]:,}",
            baseline_runs=[statistics.median(around(times, points[0]))],
        )
        for point in points
    ]


async def measure(suite: Suite) -> list[Figure]:
    began = time.perf_counter()
    times, webhooks = await pay_many(suite.effort.payments, suite.folder)
    taken = time.perf_counter() - began
    suite.say(f"  {len(times):,} payments in {taken:.0f} s; {webhooks:,} webhooks received")
    return figures(times)


STRIPE_SANDBOX = {
    "stripe-sandbox": Workload(
        "payments at the Stripe sandbox as its data grows", measure, needs_market=False
    )
}

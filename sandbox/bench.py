"""`python -m sandbox.bench` measures whether the Stripe sandbox stays as fast as it was.

Makes payments one after another on a sandbox with a folder of its own, which is removed again: each is
created, confirmed and captured, under idempotency keys, while its events go to a shop that takes them.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory

import httpx

from sandbox.log import write
from sandbox.processes import stripe
from sandbox.testing import free_port, running

MOST = 1_000_000
WINDOW = 100
"""Payments that a median is taken of."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Shop:
    """Takes webhooks and counts them."""

    told = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                self.told += 1
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def pay(http: httpx.AsyncClient, number: int) -> None:
    """One payment: authorized, then captured."""
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


async def bench(payments: int) -> list[float]:
    """The milliseconds of each payment, in order."""
    times: list[float] = []
    shop, port = Shop(), free_port()
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    with TemporaryDirectory(prefix="stagedoor-bench-") as folder:
        process = stripe(port, Path(folder) / "data")
        told = {
            "PAYMENTS_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "STRIPE_WEBHOOK_SECRET": "whsec_of_the_bench",
        }
        process = replace(process, environment={**process.environment, **told})
        started = time.perf_counter()
        async with (
            server,
            running(process, Path(folder) / "log", SIGTERM),
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", auth=("sk_test_bench", ""), timeout=30, trust_env=False
            ) as http,
        ):
            for number in range(1, payments + 1):
                before = time.perf_counter()
                await pay(http, number)
                times.append((time.perf_counter() - before) * 1000)
            taken = time.perf_counter() - started
    write(f"{payments:,} payments in {taken:.0f} s; {shop.told:,} webhooks arrived meanwhile")
    return times


def around(times: Sequence[float], number: int) -> float:
    """The median of the payments around one, as far as there are any after it."""
    end = min(number + WINDOW // 2, len(times))
    return statistics.median(times[max(end - WINDOW, 0) : end])


def report(times: Sequence[float]) -> None:
    points = [point for point in (100, 1_000, 10_000, 100_000) if point < len(times)] + [len(times)]
    first = around(times, points[0])
    for point in points:
        median = around(times, point)
        write(f"payment {point:>7,}: {median:6.2f} ms, {median / first:.2f} times that at {points[0]:,}")


def main() -> int:
    arguments = argparse.ArgumentParser(description="Measures the Stripe sandbox's speed as it fills up.")
    arguments.add_argument("payments", nargs="?", type=int, default=10_000)
    payments = arguments.parse_args().payments
    if not 1 <= payments <= MOST:
        write(f"The number of payments must be from 1 to {MOST:,}")
        return 2
    report(asyncio.run(bench(payments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

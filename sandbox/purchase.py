"""`python -m sandbox.purchase --url http://localhost:3500` buys one ticket, as two users of a running stack.

Each step is shown with its milliseconds; exits with 1 and the reason when one goes wrong.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import httpx

from sandbox.log import write

PATIENCE = 60.0
"""Seconds that events may take."""
POLL = 0.02


class Wrong(Exception):
    """What was answered instead of what should have been."""


class User:
    """A browser's worth of cookies."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    def ask(self, method: str, path: str, expected: int, body: dict[str, Any] | None = None) -> Any:
        """Asks again while the answer is 404: a service hears of another's news milliseconds later."""
        deadline = time.monotonic() + PATIENCE
        while (answer := self.http.request(method, path, json=body)).status_code != expected:
            if answer.status_code != 404 or time.monotonic() > deadline:
                told = f"{method} {path} answered {answer.status_code} instead of {expected}"
                raise Wrong(f"{told}: {answer.text[:500]}")
            time.sleep(POLL)
        return answer.json()

    def sign_up(self, name: str) -> None:
        account = {"email": f"{name}-{token_hex(6)}@example.com", "password": token_hex(12)}
        self.ask("POST", "/api/users/signup", 201, account)

    def wait_for(self, path: str, status: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while (seen := _status(self.ask("GET", path, 200))) != status:
            if time.monotonic() > deadline:
                raise Wrong(f"{path} is still {seen!r} instead of {status!r} after {PATIENCE:g} s")
            time.sleep(POLL)


def _status(answer: Any) -> str:
    """Payments of an order come as a list of one."""
    found = answer[0] if isinstance(answer, list) and answer else answer
    return str(found["status"]) if found else "absent"


def purchase(url: str) -> None:
    seller, buyer = User(url), User(url)
    with seller.http, buyer.http, step("all of it"):
        with step("seller signs up"):
            seller.sign_up("seller")
        with step("ticket is listed at 19.99"):
            ticket = seller.ask("POST", "/api/tickets", 201, {"title": "A night out", "price": 19.99})
            if ticket["price"] != 19.99:
                raise Wrong(f"the ticket's price is {ticket['price']}")
        with step("buyer signs up"):
            buyer.sign_up("buyer")
        with step("ticket is reserved"):
            order = buyer.ask("POST", "/api/orders", 201, {"ticketId": ticket["id"]})
        with step("buyer pays with tok_visa"):
            buyer.ask("POST", "/api/payments", 201, {"orderId": order["id"], "token": "tok_visa"})
        with step("order is complete"):
            buyer.wait_for(f"/api/orders/{order['id']}", "complete")
        with step("ticket is sold"):
            buyer.wait_for(f"/api/tickets/{ticket['id']}", "sold")
        with step("payment is captured"):
            buyer.wait_for(f"/api/payments?orderId={order['id']}", "captured")


@contextmanager
def step(name: str) -> Iterator[None]:
    started = time.perf_counter()
    outcome = "FAILED: "
    try:
        yield
        outcome = ""
    finally:
        write(f"{(time.perf_counter() - started) * 1000:7.0f} ms  {outcome}{name}")


def main() -> int:
    arguments = argparse.ArgumentParser(description="Buys one ticket on a running stack.")
    arguments.add_argument("--url", default="http://localhost:3500")
    try:
        purchase(arguments.parse_args().url)
    except Wrong as reason:
        write(f"The purchase failed: {reason}")
        return 1
    except (httpx.HTTPError, LookupError, ValueError) as reason:
        write(f"The purchase failed: {reason!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m sandbox.purchase --url http://localhost:3500` sells and buys one ticket on a running Stagedoor.

It prints the duration of each step. If a step fails, it prints the reason and exits with code 1.
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

TIMEOUT = 60.0
"""Maximum number of seconds to wait for an event to reach another service."""
POLL = 0.02


class UnexpectedResponse(Exception):
    pass


class User:
    """An HTTP client with the cookies of one user."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False)

    def ask(self, method: str, path: str, expected: int, body: dict[str, Any] | None = None) -> Any:
        """Send a request. Repeat it while the answer is 404, because events take time to reach a service."""
        deadline = time.monotonic() + TIMEOUT
        while (answer := self.http.request(method, path, json=body)).status_code != expected:
            if answer.status_code != 404 or time.monotonic() > deadline:
                message = f"{method} {path} answered {answer.status_code} instead of {expected}"
                raise UnexpectedResponse(f"{message}: {answer.text[:500]}")
            time.sleep(POLL)
        return answer.json()

    def sign_up(self, name: str) -> None:
        account = {"email": f"{name}-{token_hex(6)}@example.com", "password": token_hex(12)}
        self.ask("POST", "/api/users/signup", 201, account)

    def wait_for(self, path: str, status: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while (seen := _status(self.ask("GET", path, 200))) != status:
            if time.monotonic() > deadline:
                raise UnexpectedResponse(
                    f"{path} is still {seen!r} instead of {status!r} after {TIMEOUT:g} s"
                )
            time.sleep(POLL)


def _status(answer: Any) -> str:
    """The status of a resource, or of the only one in a list."""
    found = answer[0] if isinstance(answer, list) and answer else answer
    return str(found["status"]) if found else "absent"


def purchase(url: str) -> None:
    seller, buyer = User(url), User(url)
    with seller.http, buyer.http, step("total"):
        with step("seller signs up"):
            seller.sign_up("seller")
        with step("ticket is listed at 19.99"):
            ticket = seller.ask("POST", "/api/tickets", 201, {"title": "A night out", "price": 19.99})
            if ticket["price"] != 19.99:
                raise UnexpectedResponse(f"the ticket's price is {ticket['price']}")
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
    except UnexpectedResponse as reason:
        write(f"The purchase failed: {reason}")
        return 1
    except (httpx.HTTPError, LookupError, ValueError) as reason:
        write(f"The purchase failed: {reason!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

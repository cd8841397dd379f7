"""Give the buyer of an order their money back: `just refund ORDER`, once however often it is repeated."""

import argparse
import asyncio
import re
import sys
from contextlib import suppress
from typing import Any

import aiohttp

import settings
from settings import Settings

ANSWER_SECONDS = 40.0
"""Longer than payments waits for Stripe."""
PATIENCE_SECONDS = 15.0
"""How long the command waits for a refund that is on its way."""
POLL_SECONDS = 0.5

ORDER = re.compile("[0-9a-f]{24}")


class NotRefunded(Exception):
    """Says in a sentence why not."""


async def ask(http: aiohttp.ClientSession, conf: Settings, order_id: str, *, relist: bool) -> str:
    """Ask payments for the refund; gives the payment's status.

    Raises:
        NotRefunded
    """
    url = conf.url_of("payments")
    body = {"orderId": order_id, "relist": relist}
    headers = {"Authorization": f"Bearer {conf.operator_secret}"}
    try:
        async with http.post(f"{url}/api/payments/refunds", json=body, headers=headers) as answer:
            told: Any = await answer.json(content_type=None)
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise NotRefunded(
            f"The payments service doesn't answer at {url}. Is the marketplace running?"
        ) from None
    except ValueError:
        raise NotRefunded(f"What answers at {url} isn't the payments service.") from None
    if status == 201:
        return str(told["status"])
    raise NotRefunded(f"Order {order_id} isn't refunded: {_reason(status, told)}.")


async def refund(conf: Settings, order_id: str, *, relist: bool) -> str:
    """Refund an order, and wait a little until Stripe has done it; gives what came of it in a sentence.

    Raises:
        NotRefunded
    """
    clock = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        status = await ask(http, conf, order_id, relist=relist)
        deadline = clock.time() + PATIENCE_SECONDS
        while status == "refunding" and clock.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(NotRefunded):  # it was taken: payments goes on with it, also when it is away now
                status = await ask(http, conf, order_id, relist=relist)
    ticket = " and its ticket goes on sale again" if relist else ""
    if status == "refunded":
        return f"Order {order_id} is refunded{ticket}."
    return f"The refund of order {order_id} is on its way{ticket}: it is written down and goes on by itself."


def _reason(status: int, told: Any) -> str:
    if status == 401:
        return "the payments service has another OPERATOR_TOKEN than this command"
    if status == 404:
        return "payments knows of no payment of it"
    title = told.get("title") if isinstance(told, dict) else None
    return str(title or f"the payments service answered {status}").rstrip(".")


async def main() -> int:
    parser = argparse.ArgumentParser(prog="just refund", description=__doc__)
    parser.add_argument("order", help="its id: the 24 digits at the end of the address of its page")
    parser.add_argument("--relist", action="store_true", help="put the ticket on sale again")
    arguments = parser.parse_args()
    order_id = arguments.order.rstrip("/").rpartition("/")[2]
    if not ORDER.fullmatch(order_id):
        parser.error("an order's id is the 24 digits at the end of the address of its page")
    try:
        said = await refund(settings.load(), order_id, relist=arguments.relist)
    except NotRefunded as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

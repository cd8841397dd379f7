"""Request the refund of an order from payments. Repeating it is harmless."""

import asyncio
from contextlib import suppress

import aiohttp

from ops import operator_api
from ops.errors import CommandError
from settings import Settings

TIMEOUT_SECONDS = 15.0
"""Seconds to wait for a refund that Stripe hasn't accepted yet."""
POLL_SECONDS = 0.5


class NotRefunded(CommandError):
    """The bank rejected the refund."""


async def request_refund(http: aiohttp.ClientSession, conf: Settings, order_id: str, **options: bool) -> str:
    """Request the refund from payments. Return the payment's status.

    Args:
        options: fields of `RefundBody`.

    Raises:
        CommandError, ServiceDown
        NotRefunded: the bank rejected the refund.
    """
    result = await operator_api.request(
        http,
        conf,
        "payments",
        "/api/payments/refunds",
        {"orderId": order_id, **options},
        failure=f"Order {order_id} isn't refunded",
        unknown="payments has no payment for this order",
    )
    if result.get("refundFailed"):
        raise NotRefunded(
            f"The bank rejected the refund of order {order_id}. Try once more with --again, or return the"
            " money in another way and record that with --returned."
        )
    return str(result["status"])


async def refund(
    conf: Settings, order_id: str, *, relist: bool, again: bool = False, returned: bool = False
) -> str:
    """Refund an order and wait a few seconds for Stripe. Return a message for the operator.

    Args:
        again: after a refund that failed, try once more.
        returned: after a refund that failed, record that the money was returned in another way.

    Raises:
        CommandError: the message says why the order isn't refunded.
    """
    once = {name: True for name, is_set in (("again", again), ("returned", returned)) if is_set}
    clock = asyncio.get_running_loop()
    async with operator_api.client() as http:
        status = await request_refund(http, conf, order_id, relist=relist, **once)
        deadline = clock.time() + TIMEOUT_SECONDS
        while status == "refunding" and clock.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(operator_api.ServiceDown):  # payments has stored the request and will finish it
                status = await request_refund(http, conf, order_id, relist=relist)
    ticket = " Its ticket goes on sale again." if relist else ""
    if status == "refunded":
        return f"Order {order_id} is refunded.{ticket}"
    return f"The refund of order {order_id} is stored and will be completed.{ticket}"

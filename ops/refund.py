"""Request the refund of an order from payments. Repeating it is harmless."""

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp

from kit.secrets import operator_token
from ops.errors import CommandError
from settings import Settings

ANSWER_SECONDS = 40.0
"""Seconds to wait for the response of payments, which waits for Stripe for a shorter time."""
TIMEOUT_SECONDS = 15.0
"""Seconds to wait for a refund that Stripe hasn't accepted yet."""
POLL_SECONDS = 0.5


class NotRefunded(CommandError):
    """A refund failed. The message says why."""


class PaymentsDown(NotRefunded):
    """The payments service doesn't answer."""


async def request_refund(http: aiohttp.ClientSession, conf: Settings, order_id: str, **options: bool) -> str:
    """Request the refund from payments. Return the payment's status.

    Args:
        options: fields of `RefundBody`.

    Raises:
        NotRefunded: also if the bank rejected the refund.
    """
    url = conf.url_of("payments")
    body = {"orderId": order_id, **options}
    headers = {"Authorization": f"Bearer {operator_token(conf)}"}
    try:
        async with http.post(f"{url}/api/payments/refunds", json=body, headers=headers) as answer:
            result: Any = await answer.json(content_type=None)
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise PaymentsDown(
            f"The payments service doesn't answer at {url}. Is the marketplace running?"
        ) from None
    except ValueError:
        raise NotRefunded(f"The server at {url} isn't the payments service.") from None
    if status == 201 and result.get("refundFailed"):
        raise NotRefunded(
            f"The bank rejected the refund of order {order_id}. Try once more with --again, or return the"
            " money in another way and record that with --returned."
        )
    if status == 201:
        return str(result["status"])
    raise NotRefunded(f"Order {order_id} isn't refunded: {_reason(status, result)}.")


async def refund(
    conf: Settings, order_id: str, *, relist: bool, again: bool = False, returned: bool = False
) -> str:
    """Refund an order and wait a few seconds for Stripe. Return a message for the operator.

    Args:
        again: after a refund that failed, try once more.
        returned: after a refund that failed, record that the money was returned in another way.

    Raises:
        NotRefunded
    """
    once = {name: True for name, is_set in (("again", again), ("returned", returned)) if is_set}
    clock = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        status = await request_refund(http, conf, order_id, relist=relist, **once)
        deadline = clock.time() + TIMEOUT_SECONDS
        while status == "refunding" and clock.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(PaymentsDown):  # payments has stored the request and will finish it
                status = await request_refund(http, conf, order_id, relist=relist)
    ticket = " Its ticket goes on sale again." if relist else ""
    if status == "refunded":
        return f"Order {order_id} is refunded.{ticket}"
    return f"The refund of order {order_id} is stored and will be completed.{ticket}"


def _reason(status: int, result: Any) -> str:
    if status == 401:
        return "the payments service has another OPERATOR_TOKEN than this command"
    if status == 404:
        return "payments has no payment for this order"
    title = result.get("title") if isinstance(result, dict) else None
    return str(title or f"the payments service answered {status}").rstrip(".")

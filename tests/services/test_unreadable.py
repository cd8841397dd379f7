"""A stored payment that can't be read keeps no other from being settled, and ends no process."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import pytest

import streams.payments
from contracts.events import OrderEvent
from services.payments.actions import Payments
from tests.services.conftest import SettingsWith
from tests.services.served import serving, until
from tests.services.till import Till

RECONCILE = streams.payments.reconcile
SECRET = "whsec_of_this_test"


async def approved(till: Till) -> OrderEvent:
    """An order that the buyer's bank agreed to, of which payments hasn't heard."""
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    await till.answer_check(order, "approve")
    return order


async def spoil(till: Till, order: OrderEvent) -> None:
    """As if a version of this service that we don't know had written it."""
    changed = await till.served.database["payments"].update_one(
        {"order_id": order.id}, {"$set": {"amount": "much"}}
    )
    assert changed.modified_count == 1


async def mend(till: Till, order: OrderEvent) -> None:
    await till.served.database["payments"].update_one({"order_id": order.id}, {"$set": {"amount": 1999}})


async def test_the_reconciler_settles_the_others(till: Till) -> None:
    spoilt, sound = await approved(till), await approved(till)
    await spoil(till, spoilt)
    assert [mended.order for mended in await till.payments.reconcile()] == [sound.id]
    await mend(till, spoilt)
    assert [mended.order for mended in await till.payments.reconcile()] == [spoilt.id]


async def test_the_inbox_hands_on_the_other_webhooks_and_keeps_this_one(
    settings_with: SettingsWith, till: Till
) -> None:
    spoilt, sound = await approved(till), await approved(till)
    await spoil(till, spoilt)
    conf = settings_with(stripe_api_base=till.stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf, fresh=False) as hooked:
        for order in (spoilt, sound):
            thing = {"id": "pi_x", "object": "payment_intent", "metadata": {"order_id": order.id}}
            body = json.dumps(
                {"id": order.id, "object": "event", "type": "x", "data": {"object": thing}}
            ).encode()
            at = int(time.time())
            signed = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            headers = {"Content-Type": "application/json", "Stripe-Signature": f"t={at},v1={signed}"}
            answer = await hooked.ask("POST", "/api/payments/webhook", content=body, headers=headers)
            assert answer.status_code == 200
        notices = hooked.database["notices"]

        async def are_told() -> bool:
            kept = await notices.find_one({"_id": spoilt.id})
            done = await notices.find_one({"_id": sound.id})
            return bool(kept and done and kept["failures"] == 1 and not kept["handled"] and done["handled"])

        await until(are_told)
    assert (await till.stored(sound))["status"] == "authorized"


@pytest.mark.parametrize(
    ("loop", "work"), [(RECONCILE, "reconcile"), (streams.payments.read_inbox, "handle_notices")]
)
async def test_a_failure_that_nobody_thought_of_ends_no_loop(
    till: Till,
    loop: Callable[[Payments, float], Awaitable[None]],
    work: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    again = asyncio.Event()
    failures = [LookupError("nobody thought of it")]

    async def fails_once(_: Payments) -> list[object]:
        if failures:
            raise failures.pop()
        again.set()
        return []

    with patch.object(Payments, work, fails_once):
        task = asyncio.ensure_future(loop(till.payments, 0.01))
        async with asyncio.timeout(30):
            await asyncio.wait(
                {task, asyncio.ensure_future(again.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
        assert not task.done()
        task.cancel()
    assert "nobody thought of it" in caplog.text

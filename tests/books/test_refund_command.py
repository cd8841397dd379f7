"""`just refund`, beside a payments service that runs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.events import OrderEvent
from sandbox.testing import free_port
from settings import Settings
from tests.books.commands import Ran, payments_process, run
from tests.services.conftest import SettingsWith
from tests.services.served import new_id
from tests.services.till import Till


@dataclass(frozen=True)
class Desk:
    """An operator's shell."""

    conf: Settings

    async def refund(self, *arguments: str) -> Ran:
        return await run("streams.refund", *arguments, conf=self.conf)


@pytest.fixture
async def desk(till: Till, settings_with: SettingsWith, tmp_path: Path) -> AsyncIterator[Desk]:
    conf = settings_with(stripe_api_base=till.stripe_url)
    async with payments_process(conf, tmp_path) as url:
        yield Desk(settings_with(stripe_api_base=till.stripe_url, payments_url=url))


async def bought(till: Till) -> OrderEvent:
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "complete")
    return order


async def test_it_refunds_by_the_order_id_and_says_so(till: Till, desk: Desk) -> None:
    order = await bought(till)
    for _ in range(2):
        assert await desk.refund(order.id) == Ran(0, f"Order {order.id} is refunded.\n", "")
    assert (await till.stored(order))["status"] == "refunded"


async def test_it_takes_the_address_of_the_orders_page_and_relists(till: Till, desk: Desk) -> None:
    order = await bought(till)
    ran = await desk.refund(f"https://tickets.example.com/orders/{order.id}", "--relist")
    assert ran == Ran(0, f"Order {order.id} is refunded and its ticket goes on sale again.\n", "")
    assert (await till.stored(order))["relist"] is True


async def test_it_says_why_an_order_is_not_refunded(till: Till, desk: Desk) -> None:
    order = await till.order()
    await till.pay(order)
    ran = await desk.refund(order.id)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"Order {order.id} isn't refunded: Only an order that is paid for can be refunded.\n"
    unknown = new_id()
    ran = await desk.refund(unknown)
    assert ran == Ran(1, "", f"Order {unknown} isn't refunded: payments knows of no payment of it.\n")


async def test_it_says_that_its_operator_token_is_another_one(till: Till, desk: Desk) -> None:
    order = await bought(till)
    stranger = desk.conf.model_copy(update={"data_dir": desk.conf.data_dir / "elsewhere"})
    ran = await run("streams.refund", order.id, conf=stranger)
    assert (ran.code, ran.out) == (1, "")
    assert "another OPERATOR_TOKEN than this command" in ran.err
    assert (await till.stored(order))["status"] == "captured"


async def test_it_says_that_payments_does_not_answer(settings_with: SettingsWith) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = await run("streams.refund", new_id(), conf=settings_with(payments_url=url))
    assert ran == Ran(1, "", f"The payments service doesn't answer at {url}. Is the marketplace running?\n")


@pytest.mark.parametrize("order", ["", "12", "https://tickets.example.com/orders/"])
async def test_what_is_no_order_is_told_so(settings_with: SettingsWith, order: str) -> None:
    ran = await run("streams.refund", order, conf=settings_with())
    assert (ran.code, ran.out) == (2, "")
    assert "an order's id is the 24 digits" in ran.err

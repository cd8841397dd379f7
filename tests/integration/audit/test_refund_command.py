"""`ops refund` with a running payments service."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from contracts.events import OrderEvent
from sandbox.testing import free_port
from settings import Settings
from tests.integration.audit.commands import payments_process, run
from tests.integration.conftest import Sandbox
from tests.support.operate import CommandResult
from tests.support.payments import PaymentsService
from tests.support.service import SettingsWith, new_id


@dataclass(frozen=True)
class RefundCommand:
    """Runs `ops refund` with these settings."""

    conf: Settings

    async def run(self, *arguments: str) -> CommandResult:
        return await run("refund", *arguments, conf=self.conf)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def payments_conf(
    mongo: str, shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Any]]:
    """The settings of a running payments service and of the command."""
    conf: dict[str, Any] = {
        "data_dir": tmp_path_factory.mktemp("operator"),
        "mongo_url": mongo,
        "nats_url": f"nats://127.0.0.1:{free_port()}",
        "stripe_api_base": shared_sandbox.url,
    }
    async with payments_process(Settings(_env_file=None, **conf), conf["data_dir"]) as url:
        yield {**conf, "payments_url": url}


@pytest.fixture
def command(
    service: PaymentsService, settings_with: SettingsWith, payments_conf: dict[str, Any]
) -> RefundCommand:
    return RefundCommand(settings_with(**payments_conf))


async def buy(service: PaymentsService) -> OrderEvent:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    return order


async def test_the_command_refunds_an_order_given_by_its_id(
    service: PaymentsService, command: RefundCommand
) -> None:
    order = await buy(service)
    for _ in range(2):
        assert await command.run(order.id) == CommandResult(0, f"Order {order.id} is refunded.\n", "")
    assert (await service.stored(order))["status"] == "refunded"


async def test_the_command_accepts_the_address_of_the_order_page_and_relists(
    service: PaymentsService, command: RefundCommand
) -> None:
    order = await buy(service)
    ran = await command.run(f"https://tickets.example.com/orders/{order.id}", "--relist")
    assert ran == CommandResult(0, f"Order {order.id} is refunded. Its ticket goes on sale again.\n", "")
    assert (await service.stored(order))["relist"] is True


async def test_the_command_reports_why_an_order_is_not_refunded(
    service: PaymentsService, command: RefundCommand
) -> None:
    order = await service.order()
    await service.pay(order)
    ran = await command.run(order.id)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"Order {order.id} isn't refunded: Only an order that is paid for can be refunded.\n"
    unknown = new_id()
    ran = await command.run(unknown)
    assert ran == CommandResult(
        1, "", f"Order {unknown} isn't refunded: payments has no payment for this order.\n"
    )


async def test_the_command_reports_that_its_operator_token_is_wrong(
    service: PaymentsService, command: RefundCommand
) -> None:
    order = await buy(service)
    other_settings = command.conf.model_copy(update={"data_dir": command.conf.data_dir / "elsewhere"})
    ran = await run("refund", order.id, conf=other_settings)
    assert (ran.code, ran.out) == (1, "")
    assert "another OPERATOR_TOKEN than this command" in ran.err
    assert (await service.stored(order))["status"] == "captured"


async def test_the_command_reports_that_payments_does_not_answer(settings_with: SettingsWith) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = await run("refund", new_id(), conf=settings_with(payments_url=url))
    assert ran == CommandResult(
        1, "", f"The payments service doesn't answer at {url}. Is the marketplace running?\n"
    )


@pytest.mark.parametrize("order", ["", "12", "https://tickets.example.com/orders/"])
async def test_the_command_refuses_an_invalid_order_id(settings_with: SettingsWith, order: str) -> None:
    ran = await run("refund", order, conf=settings_with())
    assert (ran.code, ran.out) == (2, "")
    assert "an order's id is the 24 digits" in ran.err

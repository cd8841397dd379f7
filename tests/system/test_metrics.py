"""The metrics of every process have a bounded number of series, however many orders there are."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.processes import ROOT
from settings import SERVICES
from tests.support.people import Person, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack

ID = re.compile(
    r"[0-9a-f]{24}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?:pi|evt|cs|ch|re)_\w{8}",
    re.IGNORECASE,
)
"""An id of ours, a UUID, or an id of Stripe."""

Series = frozenset[tuple[str, str, frozenset[tuple[str, str]]]]
"""Process, metric and labels of each series. A histogram counts as one series."""


async def series_of(stack: Stack) -> Series:
    found = set()
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        addresses = [(str(name), stack.settings.url_of(name)) for name in SERVICES]
        for name, address in [*addresses, ("web", stack.web)]:
            metrics = (await http.get(f"{address}/metrics")).text
            for family in text_string_to_metric_families(metrics):
                for sample in family.samples:
                    labels = frozenset(sample.labels.items() - {("le", sample.labels.get("le", ""))})
                    found.add((name, family.name, labels))
    return frozenset(found)


async def buy_and_cancel(stack: Stack, seller: Person, buyer: Person) -> None:
    """Three orders: one is paid for after a decline, one is cancelled, and one expires."""
    bought, cancelled, expired = [await seller.lists_ticket() for _ in range(3)]
    late = await buyer.reserves(expired["id"], at=stack.short_window_orders)
    order = await buyer.reserves(bought["id"])
    await buyer.pays(order["id"], "tok_chargeDeclined")
    assert (await buyer.pays(order["id"])).status_code == 201
    other = await buyer.reserves(cancelled["id"])
    assert (await buyer.cancels(other["id"])).status_code == 204
    for path in (f"/orders/{order['id']}", f"/tickets/{bought['id']}", f"/nothing/{other['id']}"):
        await buyer.client.get(path)
        await buyer.client.get(f"/api{path}")
        await buyer.client.request(f"X-{order['id']}", f"/api{path}")
        await buyer.client.request(f"X-{order['id']}", f"{stack.settings.url_of('orders')}/api{path}")
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.order(late["id"]), lambda seen: seen["status"] == "cancelled")
    for ticket in (cancelled, expired):
        await until(partial(buyer.ticket, ticket["id"]), lambda seen: seen["status"] == "available")


async def test_no_label_of_a_metric_contains_an_id_and_orders_add_no_series(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        await buy_and_cancel(stack, seller, buyer)
        await series_of(stack)  # a process counts the request for its metrics after it has answered
        before = await series_of(stack)
        for _ in range(3):
            await buy_and_cancel(stack, seller, buyer)
        after = await series_of(stack)
    labels = {(name, value) for _, _, found in after for name, value in found}
    assert {label for label in labels if ID.search(label[1])} == set()
    # A label that is different for each of nine more orders would add nine series to its metric.
    # A coincidence, such as the first retry, may add a few.
    added = Counter((process, metric) for process, metric, _ in after - before)
    assert max(added.values(), default=0) < 9, added


def documented() -> Mapping[str, str]:
    """The metrics in the table of docs/operations.md, and the processes that have them."""
    document = (ROOT / "docs" / "operations.md").read_text()
    table = document.partition("| metric | of | shows |\n|---|---|---|\n")[2].partition("\n\n")[0]
    cells = [row.split("|") for row in table.splitlines()]
    return {name: where.strip() for _, names, where, *_ in cells for name in re.findall(r"`(\w+)`", names)}


# The stack runs auth with the code of other services, so auth exposes their metrics too.
@pytest.mark.parametrize("process", [*(name for name in SERVICES if name != "auth"), "web"])
async def test_the_operations_document_lists_our_metrics_of_each_process(stack: Stack, process: str) -> None:
    address = stack.web if process == "web" else stack.settings.url_of(process)  # type: ignore[arg-type] # a service
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        text = (await http.get(f"{address}/metrics")).text
    exposed = set(re.findall(r"^# TYPE (stagedoor_\w+)", text, re.MULTILINE))
    groups = {"all", process, *(["services"] if process != "web" else [])}
    groups |= {"payments and payouts"} if process in ("payments", "payouts") else set()
    listed = {name for name, where in documented().items() if where in groups}
    ours = {name for name in listed if name.startswith("stagedoor_")}
    assert {name for name in exposed if not name.endswith("_created")} == ours
    assert listed - ours - set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) == set()

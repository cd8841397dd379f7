"""A code that a seller writes down reaches nobody but the buyer who paid."""

import asyncio
from typing import Any

import pytest

from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack

CODE = "AB12CD34"


@pytest.mark.parametrize("field", ["title", "venue", "city", "seat", "notes"])
async def test_a_code_in_a_public_text_is_refused(stack: Stack, field: str) -> None:
    async with signed_up(stack.web, 1) as [seller]:
        for code in (f"code {CODE}", "barcode 4006381333931", "booking reference XK7-41B"):
            body = {"title": "Row 4", "price": 5, field: code}
            answer = await seller.client.post("/api/tickets", json=body)
            assert answer.status_code == 400
            assert "private note" in answer.json()["title"]


async def test_only_the_buyer_who_paid_reads_the_private_note(stack: Stack) -> None:
    async with signed_up(stack.web, 3) as [seller, buyer, stranger]:
        ticket = await seller.lists_ticket(privateNote=CODE)
        order = await buyer.reserves(ticket["id"])
        paths = (
            *(f"/api/tickets/{ticket['id']}", "/api/tickets", "/api/tickets?q=low+roar", "/"),
            *(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/card", "/api/tickets/facets"),
            *(f"/api/orders/{order['id']}", f"/orders/{order['id']}", "/orders", "/api/orders"),
        )

        async def shown_to(person: Person) -> set[str]:
            answers = await asyncio.gather(*(person.client.get(path) for path in paths))
            return {answer.request.url.path for answer in answers if CODE in answer.text}

        assert await shown_to(buyer) == await shown_to(stranger) == set()
        await buyer.pays(order["id"])

        async def bought() -> dict[str, Any]:
            return await buyer.ticket(ticket["id"])

        sold = await until(bought, lambda seen: seen["status"] == "sold")
        assert sold["privateNote"] == CODE
        assert "privateNote" not in await stranger.ticket(ticket["id"])
        assert await shown_to(stranger) == set()
        own = {f"/api/tickets/{ticket['id']}", f"/orders/{order['id']}"}
        assert await shown_to(buyer) <= own
        changed = await seller.client.put(
            f"/api/tickets/{ticket['id']}/private-note", json={"privateNote": "New"}
        )
        assert changed.status_code == 200
        assert (await buyer.ticket(ticket["id"]))["privateNote"] == "New"
    for name in ("web", "tickets", "orders", "payments"):
        assert CODE not in stack.log_of(name)

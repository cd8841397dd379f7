"""Nobody lists a ticket that can't be paid for, and nobody pays with a card that they didn't choose."""

from tests.support.people import signed_up
from tests.support.stack import Stack


async def test_a_price_that_stripe_rejects_is_refused(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as [seller]:
        ticket = await seller.lists_ticket(0.5)
        for price in (0.01, "0.49"):
            body = {"title": "Row 4", "price": price, "faceValue": 0.01}
            for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{ticket['id']}")):
                answer = await seller.client.request(method, path, json=body)
                assert answer.status_code == 400
                assert answer.json()["errors"] == [
                    {"message": "Price must be at least $0.50", "field": "price"}
                ]
        mine = (await seller.client.get("/api/tickets/mine")).json()
    assert [each["price"] for each in mine] == [0.5]


async def test_a_payment_without_a_token_charges_nobody(stack: Stack) -> None:
    async with signed_up(stack.web, 3) as [seller, buyer, stranger]:
        order = await buyer.reserves((await seller.lists_ticket())["id"])
        for body in ({}, {"token": None}, {"token": ""}):
            answer = await buyer.client.post("/api/payments", json={"orderId": order["id"], **body})
            assert answer.status_code == 400
            assert answer.json()["errors"] == [{"message": "Token is required", "field": "token"}]
        answer = await stranger.client.post("/api/payments", json={"orderId": order["id"]})
        assert answer.status_code == 403
        assert await buyer.payment(order["id"]) == {"status": None}
        assert (await buyer.pays(order["id"])).status_code == 201

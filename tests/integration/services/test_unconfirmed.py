"""Users who have yet to confirm their address may hold one ticket, but neither list nor pay."""

from tests.support.events import on_sale
from tests.support.payments import PaymentsService
from tests.support.service import Served, messages, new_id, token_for

FIRST = ["Confirm your email address first: open the link that we sent to it"]


def as_unconfirmed(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_for(user, unconfirmed=True)}"}


async def test_an_unconfirmed_user_cannot_list_a_ticket(tickets: Served) -> None:
    body = {"title": "Hamlet", "price": 19.99}
    answer = await tickets.ask("POST", "/api/tickets", headers=as_unconfirmed(new_id()), json=body)
    assert messages(answer, 403) == FIRST
    assert answer.json()["type"] == "/problems/unconfirmed"
    assert (await tickets.ask("GET", "/api/tickets", headers=as_unconfirmed(new_id()))).status_code == 200


async def test_a_trader_who_has_not_said_who_they_are_cannot_list_a_ticket(tickets: Served) -> None:
    body, seller = {"title": "Hamlet", "price": 19.99}, new_id()
    headers = {"Authorization": f"Bearer {token_for(seller, unidentified=True)}"}
    answer = await tickets.ask("POST", "/api/tickets", headers=headers, json=body)
    assert answer.json()["type"] == "/problems/unidentified"
    assert "on your account page" in messages(answer, 403)[0]
    assert (await tickets.ask("POST", "/api/tickets", by=seller, json=body)).status_code == 201


async def test_an_unconfirmed_user_cannot_pay(service: PaymentsService) -> None:
    body = {"orderId": new_id(), "token": "tok_visa"}
    answer = await service.served.ask("POST", "/api/payments", headers=as_unconfirmed(new_id()), json=body)
    assert messages(answer, 403) == FIRST


async def test_an_unconfirmed_user_can_hold_one_ticket(orders: Served) -> None:
    user, made = new_id(), [await on_sale() for _ in range(2)]
    first, second, third = [
        await orders.ask("POST", "/api/orders", headers=as_unconfirmed(user), json={"ticketId": ticket})
        for ticket in (made[0], made[1], made[0])
    ]
    assert [first.status_code, third.status_code] == [201, 200]
    assert messages(second, 403) == ["Confirm your email address to hold more than one ticket"]
    confirmed = await orders.ask("POST", "/api/orders", by=user, json={"ticketId": made[1]})
    assert confirmed.status_code == 201

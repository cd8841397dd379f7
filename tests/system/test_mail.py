"""Emails of a running marketplace."""

import httpx
import nats
import pytest
from bson import ObjectId

from kit.mongo import connect
from kit.secrets import OPERATOR, nats_servers
from ops.show import show
from ops.sources import position_of
from services.mail.unsubscribing import Choice, Tokens
from streams.processes import CONSUMERS
from tests.support.mailbox import Mailbox
from tests.support.operate import operate
from tests.support.people import random_word, signed_up
from tests.support.polling import until
from tests.support.stack import Stack


async def test_a_purchase_is_told_once_even_if_its_events_are_published_again(stack: Stack) -> None:
    title, mailbox = f"Low Roar {random_word()}", Mailbox(stack.settings)
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket(title=title)
        order = await buyer.reserves(ticket["id"])
        assert (await buyer.pays(order["id"])).status_code == 201
        receipt = await mailbox.message(buyer.email, title)
        sold = await mailbox.message(seller.email, title)
    assert receipt.subject.startswith(f"Your order {order['code']} is paid")
    assert sold.subject.startswith(f"You sold a ticket (order {order['code']})")
    assert receipt.link == f"{stack.settings.site}/orders/{order['id']}"
    assert sold.link == f"{stack.settings.site}/tickets/{ticket['id']}"

    [consumer] = [each for each in CONSUMERS if each.name == "mail-order-updated"]
    connection = await nats.connect(nats_servers(stack.settings, OPERATOR))
    js = connection.jetstream()
    before = await position_of(js, consumer)
    variables = {
        "NATS_URL": stack.bus[0],
        "MONGO_URL": stack.settings.database,
        "DATA_DIR": str(stack.settings.data_dir),
    }
    done = await operate("republish", "orders", environment=variables)
    assert done.code == 0, done.err

    async def has_handled_more() -> bool:
        now = await position_of(js, consumer)
        return before is not None and now is not None and now.is_done and now.handled > before.handled

    await until(has_handled_more)
    await connection.close()
    for person in (seller, buyer):
        assert len([each for each in await mailbox.subjects(person.email) if title in each]) == 1

    shown = "\n".join([line async for line in show(stack.settings, order["id"])])
    assert f"email receipt to user {buyer.id} is sent" in shown
    assert f"email sold to user {seller.id} is sent" in shown
    assert buyer.email not in shown


async def opt_outs(stack: Stack, user: str) -> int:
    async with connect(stack.settings.database) as client:
        return await client["mail"]["opt_outs"].count_documents({"_id": {"$regex": f"^{user}:"}})


async def test_one_click_stops_optional_messages_and_opening_the_address_changes_nothing(
    stack: Stack,
) -> None:
    user = str(ObjectId())
    token = Tokens(stack.settings).make(Choice(user, "new-device"))
    address = f"{stack.settings.site}/mail/unsubscribe?token={token}"
    async with httpx.AsyncClient() as mail_program:
        assert (await mail_program.get(address)).status_code == 200
        assert await opt_outs(stack, user) == 0
        for _ in range(2):
            answer = await mail_program.post(address, data={"List-Unsubscribe": "One-Click"})
            assert answer.status_code == 200
            assert await opt_outs(stack, user) == 1
        assert (await mail_program.post(address, data={"wanted": "yes"})).status_code == 200
        assert await opt_outs(stack, user) == 0


@pytest.mark.parametrize("kind", ["receipt", "password-changed", "unknown"])
async def test_nobody_can_stop_messages_about_money_or_security(stack: Stack, kind: str) -> None:
    token = Tokens(stack.settings).make(Choice(str(ObjectId()), kind))
    async with httpx.AsyncClient() as mail_program:
        answer = await mail_program.post(f"{stack.settings.site}/mail/unsubscribe?token={token}")
    assert answer.status_code == 404


async def test_the_service_takes_choices_from_other_services_only(stack: Stack) -> None:
    token = Tokens(stack.settings).make(Choice(str(ObjectId()), "new-device"))
    body = {"token": token, "wanted": False}
    async with httpx.AsyncClient() as stranger:
        direct = await stranger.post(f"{stack.settings.url_of('mail')}/internal/choices", json=body)
        assert direct.status_code == 401
        through_web = await stranger.post(f"{stack.settings.site}/internal/choices", json=body)
        assert through_web.status_code in (404, 405)
        for method in ("GET", "DELETE"):
            path = f"/internal/choices/{ObjectId()}/ticket-alert"
            direct = await stranger.request(method, f"{stack.settings.url_of('mail')}{path}")
            assert direct.status_code == 401
            through_web = await stranger.request(method, f"{stack.settings.site}{path}")
            assert through_web.status_code in (404, 405)

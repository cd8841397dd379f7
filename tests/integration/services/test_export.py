"""The archive with everything that the marketplace stores about a person."""

import json
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bson import ObjectId

from contracts.events import OrderUpdated
from contracts.export import Export
from contracts.wire import now
from services.auth import export
from services.auth.documents import Passkey, User
from services.mail import leaving as mail_leaving
from services.mail.documents import Message, OptOut, key_of
from services.orders import leaving as orders_leaving
from services.orders.documents import Order
from services.payments import leaving as payments_leaving
from services.payments.documents import Payment
from services.tickets import actions as tickets_actions
from services.tickets import leaving as tickets_leaving
from services.tickets.alerts import actions as alerts
from services.tickets.alerts.documents import Match
from services.tickets.documents import Ticket
from services.tickets.reports import leaving as reports_leaving
from settings import ServiceName
from tests.support.neighbors import InProcess, connect
from tests.support.payments import PaymentsService
from tests.support.payouts import PayoutsService
from tests.support.service import Served, SettingsWith, messages, serving

NOTE = "Transfer code AB12CD34"


class Member:
    """A user with a session."""

    def __init__(self, auth: Served, email: str, answer: httpx.Response) -> None:
        self.auth, self.email = auth, email
        self.id: str = answer.json()["id"]
        self.token: str = answer.json()["token"]

    async def asks(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        headers |= request.pop("headers", {})
        return await self.auth.ask(method, f"/api/users{path}", headers=headers, **request)

    async def exports(self) -> Export:
        answer = await self.asks("GET", "/me/export")
        assert answer.status_code == 200, answer.text
        exported = Export.model_validate_json(answer.content)
        assert json.loads(answer.content) == json.loads(exported.model_dump_json(by_alias=True))
        return exported


async def sign_up(auth: Served, name: str) -> Member:
    body = {"email": f"{name}@example.com", "password": "correct horse"}
    answer = await auth.ask("POST", "/api/users/signup", json=body, params={"token": "true"})
    assert answer.status_code == 201, answer.text
    auth.http.cookies.clear()
    return Member(auth, body["email"], answer)


@pytest_asyncio.fixture(loop_scope="session")
async def owners(
    auth: Served,
    tickets: Served,
    orders: Served,
    service: PaymentsService,
    payouts: PayoutsService,
    mail: Served,
) -> dict[ServiceName, InProcess]:
    others: dict[ServiceName, Served] = {"payments": service.served, "payouts": payouts.served, "mail": mail}
    return connect(auth, {"tickets": tickets, "orders": orders, **others})


async def tell(recipient: Member, order: str) -> None:
    """Store an email to the person."""
    message = Message(
        id=key_of("receipt", order, recipient.id),
        kind="receipt",
        cause=order,
        recipient=recipient.id,
        facts={"code": "AB12CD34"},
        status="sent",
        next_attempt_at=now(),
        created_at=now(),
        sent_at=now(),
    )
    assert await message.add()


async def add_passkey(member: Member) -> None:
    passkey = Passkey(
        name="My phone",
        credential_id=member.id.encode(),
        public_key=b"a public key",
        sign_count=0,
        transports=[],
        created_at=now(),
    )
    added = {"$set": {"passkeys": [passkey.model_dump()]}}
    await User.get_pymongo_collection().update_one({"_id": ObjectId(member.id)}, added)


async def sell(seller: Member, buyer: Member, tickets: Served, title: str = "Hamlet") -> tuple[str, str]:
    """Let one person list, and the other one buy a ticket. Return the ids of ticket and order."""
    body = {"title": title, "price": 19.99, "privateNote": NOTE}
    ticket = (await tickets.ask("POST", "/api/tickets", by=seller.id, json=body)).json()["id"]
    order = {
        "user_id": buyer.id,
        "ticket_id": ticket,
        "ticket_version": 0,
        "ticket_title": body["title"],
        "price_minor": 1999,
        "hold": 1,
        "expires_at": now(),
        "live": False,
        "slot": 1,
        "status": "complete",
        "paid_at": now(),
        "network": "a" * 32,
    }
    stored = Order.model_validate(order)
    await stored.add()
    await tickets_actions.follow_order(OrderUpdated.model_validate_json(stored.event().to_json()))
    fields = {"user_id": buyer.id, "order_id": stored.key, "amount": 1999, "currency": "eur"}
    await Payment.model_validate({**fields, "token": "tok_visa", "status": "captured"}).add()
    return ticket, stored.key


async def tell_of_ticket(member: Member, ticket_id: str) -> None:
    ticket = await Ticket.first({"_id": ObjectId(ticket_id)})
    assert ticket is not None
    await Match.of(ticket, member.id, now(), now()).add_once()


async def test_an_archive_contains_everything_about_one_person_and_nothing_about_others(
    owners: dict[ServiceName, InProcess], auth: Served, tickets: Served
) -> None:
    ann, bob = await sign_up(auth, "ann"), await sign_up(auth, "bob")
    await ann.asks("PATCH", "/me", json={"name": "Ann L."})
    await bob.asks("PATCH", "/me", json={"name": "Bob M."})
    await ann.asks("POST", "/confirmation", json={})
    sold, sale = await sell(ann, bob, tickets)
    bought, purchase = await sell(bob, ann, tickets, "Othello")
    for member in (ann, bob):
        await add_passkey(member)
        await tell(member, purchase)
        await OptOut.choose(member.id, "new-device", is_wanted=False)
        favorite = {"kind": "favorite", "performer": f"The band of {member.email[:3]}"}
        await tickets.ask("POST", "/api/alerts", by=member.id, json=favorite)
        await tell_of_ticket(member, sold)
        report = {"kind": "fraud", "text": f"I am {member.email[:3]}"}
        listing = sold if member is bob else bought
        await tickets.ask("POST", f"/api/tickets/{listing}/reports", by=member.id, json=report)

    archive = await ann.exports()
    assert (archive.account.email, archive.account.name) == (ann.email, "Ann L.")
    assert [session.current for session in archive.sessions] == [True]
    assert [(link.kind, link.email) for link in archive.links] == [("confirm-email", ann.email)]
    [ticket] = archive.tickets
    assert (ticket.id, ticket.private_note, ticket.order_id) == (sold, NOTE, sale)
    [order] = archive.orders
    assert (order.id, order.ticket.id, order.user_id, order.network) == (purchase, bought, ann.id, "a" * 32)
    assert (order.paid_at is None, order.refunded_at) == (False, None)
    [payment] = archive.payments
    assert (payment.order_id, payment.amount) == (purchase, 1999)
    assert [passkey.name for passkey in archive.passkeys] == ["My phone"]
    [message] = archive.messages
    assert (message.kind, message.cause, message.facts) == ("receipt", purchase, {"code": "AB12CD34"})
    assert [opt_out.kind for opt_out in archive.opt_outs] == ["new-device"]
    assert [(alert.kind, alert.performer) for alert in archive.alerts] == [("favorite", "The band of ann")]
    assert [(match.ticket_id, match.seen_at) for match in archive.matches] == [(sold, None)]
    [reported] = archive.listing_reports
    assert (reported.ticket_id, reported.text, reported.state) == (bought, "I am ann", "open")
    assert list(archive.incomplete) == []

    text = (await ann.asks("GET", "/me/export")).text
    assert text.count("Othello") == 1  # the ticket that Ann bought
    for foreign in (bob.id, bob.email, "Bob M.", "I am bob"):
        assert foreign not in text
    user = await User.first({"_id": ObjectId(ann.id)})
    assert user is not None
    for secret in (user.password_hash, "argon2", "outbox", "tok_visa", ann.token, "public"):
        assert secret not in text


async def test_an_archive_is_a_download_that_nobody_stores(
    owners: dict[ServiceName, InProcess], auth: Served
) -> None:
    ann = await sign_up(auth, "ann")
    answer = await ann.asks("GET", "/me/export")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="stagedoor-export.json"'
    assert answer.headers["cache-control"] == "no-store"


async def test_an_archive_contains_all_parts_of_what_services_return(
    owners: dict[ServiceName, InProcess], auth: Served, tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (
        *(orders_leaving, payments_leaving, tickets_leaving, mail_leaving),
        alerts,
        reports_leaving,
    ):
        monkeypatch.setattr(module, "MAX_PAGE", 2)
    ann, bob = await sign_up(auth, "ann"), await sign_up(auth, "bob")
    for _ in range(5):
        ticket, order = await sell(ann, bob, tickets)
        await tell(bob, order)
        await tell_of_ticket(ann, ticket)
        await tickets.ask(
            "POST", f"/api/tickets/{ticket}/reports", by=bob.id, json={"kind": "other", "text": "?"}
        )
    sold, bought = await ann.exports(), await bob.exports()
    assert len({ticket.id for ticket in sold.tickets}) == 5
    assert len({order.id for order in bought.orders}) == len(bought.payments) == 5
    assert len({message.cause for message in bought.messages}) == 5
    assert len({match.ticket_id for match in sold.matches}) == 5
    assert len({report.ticket_id for report in bought.listing_reports}) == 5
    assert (len(sold.orders), len(bought.tickets)) == (0, 0)


async def test_an_archive_says_which_lists_are_cut(
    owners: dict[ServiceName, InProcess], auth: Served, tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MAX_ENTRIES", 2)
    ann, bob = await sign_up(auth, "ann"), await sign_up(auth, "bob")
    made = [await sell(ann, bob, tickets) for _ in range(3)]
    archive = await ann.exports()
    assert [ticket.id for ticket in archive.tickets] == [made[2][0], made[1][0]]
    assert list(archive.incomplete) == ["tickets"]


@pytest.mark.parametrize("name", ["tickets", "orders", "payments", "payouts", "mail"])
async def test_there_is_no_archive_while_a_service_is_down(
    name: ServiceName, owners: dict[ServiceName, InProcess], auth: Served
) -> None:
    ann = await sign_up(auth, "ann")
    owners[name].is_down = True
    answer = await ann.asks("GET", "/me/export")
    assert messages(answer, 503) == [
        "Your data can't be collected, because a part of the marketplace doesn't answer. Try again"
    ]
    assert "content-disposition" not in answer.headers


async def test_only_a_few_archives_are_collected_at_the_same_time(
    owners: dict[ServiceName, InProcess], auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await sign_up(auth, "ann")
    with monkeypatch.context() as patched:
        patched.setattr(export, "MAX_CONCURRENT", 0)
        answer = await ann.asks("GET", "/me/export")
        assert messages(answer, 503) == ["Others are exporting their data. Try again in a moment"]
    assert (await ann.asks("GET", "/me/export")).status_code == 200


async def test_exports_have_a_rate_limit(
    owners: dict[ServiceName, InProcess], settings_with: SettingsWith
) -> None:
    async with serving("auth", settings_with(rate_export=1)) as auth:
        connect(auth, {name: owner.served for name, owner in owners.items()})
        ann = await sign_up(auth, "ann")
        assert (await ann.asks("GET", "/me/export")).status_code == 200
        assert (await ann.asks("GET", "/me/export")).status_code == 429


async def test_a_guest_gets_no_archive(auth: Served) -> None:
    assert messages(await auth.ask("GET", "/api/users/me/export"), 401) == ["Sign in first"]


async def test_another_site_cannot_make_a_browser_download_an_archive(
    owners: dict[ServiceName, InProcess], auth: Served
) -> None:
    ann = await sign_up(auth, "ann")
    for site in ("cross-site", "same-site"):
        answer = await ann.asks("GET", "/me/export", headers={"Sec-Fetch-Site": site})
        assert messages(answer, 403) == ["The request came from another site"]
    answer = await ann.asks("GET", "/me/export", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200

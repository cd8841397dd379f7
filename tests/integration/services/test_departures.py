"""Deleting an account: when it is refused, what it removes, and what happens at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import pytest_asyncio
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.api import OpenMatter
from contracts.events import UserUpdated
from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.changes import Changes
from kit.closed_users import ClosedUser
from kit.errors import AccountClosed, NotFound
from kit.secrets import internal_token, mail_token
from kit.tokens import Signer
from services.auth import departures, links
from services.auth.actions import Auth, SignedIn
from services.auth.attempts import Client
from services.auth.departures import ATTEMPT_TIME, Departures
from services.auth.documents import Link, Passkey, Session, User
from services.auth.neighbors import Neighbors
from services.mail import leaving as mail_leaving
from services.mail.documents import Message, OptOut, key_of
from services.orders import leaving as orders_leaving
from services.orders.documents import Order
from services.payments.documents import Payment
from services.payments.money_back import Dispute
from services.tickets import leaving as tickets_leaving
from services.tickets.documents import Ticket
from settings import SERVICES, ServiceName
from tests.support.events import on_sale
from tests.support.neighbors import InProcess, connect
from tests.support.payments import PaymentsService
from tests.support.payouts import PayoutsService
from tests.support.service import SIGNER, Served, messages, new_id, token_for

ANN = {"email": "ann@example.com", "password": "correct horse"}
DAY = timedelta(days=1)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"


@dataclass(frozen=True)
class Market:
    auth: Served
    tickets: Served
    orders: Served
    owners: Mapping[ServiceName, InProcess]

    @property
    def departures(self) -> Departures:
        departures: Departures = self.auth.app.state.departures
        return departures


@dataclass(frozen=True)
class Member:
    """A user with a session."""

    id: str
    token: str
    auth: Served

    async def asks(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.auth.ask(method, f"/api/users{path}", headers=headers, **request)
        self.auth.http.cookies.clear()
        return answer

    async def leaves(self, password: str = ANN["password"]) -> httpx.Response:
        return await self.asks("POST", "/me/deletion", json={"currentPassword": password})

    async def matters(self) -> list[str]:
        answer = await self.asks("GET", "/me/open-matters")
        assert answer.status_code == 200, answer.text
        return [matter["kind"] for matter in answer.json()]

    async def stored(self) -> User:
        user = await User.first({"_id": ObjectId(self.id)})
        assert user is not None
        return user


@pytest_asyncio.fixture(loop_scope="session")
async def market(
    auth: Served, tickets: Served, orders: Served, service: PaymentsService, payouts: PayoutsService
) -> Market:
    services: dict[ServiceName, Served] = {
        "tickets": tickets,
        "orders": orders,
        "payments": service.served,
        "payouts": payouts.served,
    }
    return Market(auth, tickets, orders, connect(auth, services))


async def sign_up(auth: Served, how: str = "signup", **fields: str) -> Member:
    answer = await auth.ask("POST", f"/api/users/{how}", json={**ANN, **fields}, params={"token": "true"})
    assert answer.is_success, answer.text
    auth.http.cookies.clear()
    return Member(answer.json()["id"], answer.json()["token"], auth)


@pytest_asyncio.fixture(loop_scope="session")
async def ann(market: Market) -> Member:
    return await sign_up(market.auth)


async def stored_order(buyer: str, starts_at: datetime | None, *, days_ago: int = 0, **special: Any) -> None:
    fields = {
        "user_id": buyer,
        "ticket_id": new_id(),
        "ticket_version": 0,
        "ticket_title": "Hamlet",
        "price_minor": 1999,
        "details": {"starts_at": starts_at},
        "hold": 1,
        "expires_at": now(),
        "active": True,
        "live": False,
        "slot": 1,
        "status": "complete",
        "network": "a" * 32,
        "wide_network": "b" * 32,
        **special,
    }
    order = Order.model_validate(fields)
    second = str(ObjectId.from_datetime(now() - days_ago * DAY))[:8]
    order.id = ObjectId(second + new_id()[8:])  # type: ignore[assignment]
    await order.add()


async def stored_ticket(seller: str, starts_at: datetime | None, **special: Any) -> str:
    fields = {"user_id": seller, "title": "Hamlet", "price_minor": 1999, "starts_at": starts_at, **special}
    ticket = Ticket.model_validate(fields)
    await ticket.add()
    return ticket.key


async def stored_payment(buyer: str, status: str = "captured", *, disputes: Sequence[Dispute] = ()) -> None:
    fields = {"user_id": buyer, "order_id": new_id(), "amount": 1999, "currency": "eur", "token": "tok_visa"}
    await Payment.model_validate({**fields, "status": status, "disputes": list(disputes)}).add()


def dispute(status: Any) -> Dispute:
    return Dispute(id="dp_1", amount=1999, status=status)


Arrange = Callable[[str], Awaitable[object]]

OPEN: dict[str, tuple[str, Arrange]] = {
    "an unpaid reservation": (
        "reservation",
        lambda user: stored_order(user, None, status="created", live=True),
    ),
    "a paid ticket for a coming event": ("purchase", lambda user: stored_order(user, now() + DAY)),
    "a new paid ticket without a date": ("purchase", lambda user: stored_order(user, None, days_ago=29)),
    **{
        f"a payment that is {status}": ("payment", partial(stored_payment, status=status))
        for status in ("pending", "authorized", "refunding")
    },
    "an open dispute": ("payment", lambda user: stored_payment(user, disputes=[dispute("open")])),
    "a ticket on sale": ("listing", lambda user: stored_ticket(user, now() + DAY)),
    "a ticket without a date on sale": ("listing", lambda user: stored_ticket(user, None)),
    "a reserved ticket": ("listing", lambda user: stored_ticket(user, now() - DAY, status="reserved")),
    "a sale for a coming event": ("sale", lambda user: stored_ticket(user, now() + DAY, status="sold")),
    "a recent sale without a date": ("sale", lambda user: stored_ticket(user, None, status="sold")),
    "a sale that the buyer disputes": (
        "sale",
        lambda user: stored_ticket(user, now() - DAY, status="sold", dispute="open"),
    ),
    "an old sale without a date that the buyer disputes": (
        "sale",
        lambda user: stored_ticket(user, None, status="sold", dispute="open", updated_at=now() - 31 * DAY),
    ),
    "a refunded sale that the buyer disputes": (
        "sale",
        lambda user: stored_ticket(user, now() + DAY, status="sold", dispute="open", refunded=True),
    ),
}

OVER: dict[str, Arrange] = {
    "a cancelled order": lambda user: stored_order(user, now() + DAY, status="cancelled", active=False),
    "a refunded order": lambda user: stored_order(user, now() + DAY, status="refunded"),
    "a paid ticket for an event that has begun": lambda user: stored_order(user, now() - DAY),
    "an old paid ticket without a date": lambda user: stored_order(user, None, days_ago=31),
    **{
        f"a payment that is {status}": partial(stored_payment, status=status)
        for status in ("captured", "failed", "voided", "refunded")
    },
    "a dispute that is over": lambda user: stored_payment(user, disputes=[dispute("won")]),
    "a withdrawn ticket": lambda user: stored_ticket(user, now() + DAY, status="withdrawn", withdrawn=True),
    "a listing of an event that has begun": lambda user: stored_ticket(user, now() - DAY),
    "a sale for an event that has begun": lambda user: stored_ticket(user, now() - DAY, status="sold"),
    "an old sale without a date": lambda user: stored_ticket(
        user, None, status="sold", updated_at=now() - 31 * DAY
    ),
    "a refunded sale": lambda user: stored_ticket(user, now() + DAY, status="sold", refunded=True),
}


@pytest.mark.parametrize("case", OPEN)
async def test_an_account_is_not_deleted_while_money_or_tickets_are_open(
    case: str, market: Market, ann: Member
) -> None:
    kind, arrange = OPEN[case]
    await arrange(new_id())
    assert await ann.matters() == []
    await arrange(ann.id)
    answer = await ann.leaves()
    assert messages(answer, 409) == ["Your account can't be deleted while money or tickets are open"]
    assert answer.json()["type"] == "/problems/matters-open"
    assert await ann.matters() == [kind]
    user = await ann.stored()
    assert (user.email, user.closing, user.deleted_at) == (ANN["email"], None, None)
    assert await ClosedUser.find_all().count() == 0


@pytest.mark.parametrize("case", OVER)
async def test_what_is_over_does_not_keep_a_user_from_leaving(case: str, market: Market, ann: Member) -> None:
    await OVER[case](ann.id)
    assert await ann.matters() == []
    assert (await ann.leaves()).status_code == 200


async def test_an_open_matter_says_where_to_go(market: Market, ann: Member) -> None:
    starts_at = now() + DAY
    key = await stored_ticket(ann.id, starts_at)
    [matter] = (await ann.asks("GET", "/me/open-matters")).json()
    shown = OpenMatter(kind="listing", ticket_id=key, title="Hamlet", starts_at=starts_at)
    assert OpenMatter.model_validate(matter) == shown


async def test_a_deleted_account_leaves_nothing_about_the_person(market: Market, ann: Member) -> None:
    other = await sign_up(market.auth, "signin")
    await ann.asks("PATCH", "/me", json={"name": "Ann L."})
    await market.auth.ask("POST", "/api/users/password-reset", json={"email": ANN["email"]})
    passkey = Passkey(
        name="My phone", credential_id=b"1", public_key=b"2", sign_count=0, transports=[], created_at=now()
    )
    await change(ann.stored, lambda stored: stored.with_passkeys([passkey]))
    answer = await ann.leaves()
    assert (answer.status_code, answer.json()) == (200, {})
    assert 'session=""' in answer.headers["set-cookie"] or "session=;" in answer.headers["set-cookie"]
    document = await market.auth.database["users"].find_one({"_id": ObjectId(ann.id)})
    assert document is not None
    for name in ("outbox", "created_at", "deleted_at", "version", "closing"):
        del document[name]  # numbers and times
    assert {name: value for name, value in document.items() if value and name != "sequences"} == {
        "_id": ObjectId(ann.id),
        "email": f"deleted:{ann.id}",
    }
    for session in await Session.find({"user_id": ann.id}).to_list():
        assert (session.device, session.network, session.ended_at is None) == (None, None, False)
    links = await Link.find({"user_id": ann.id}).to_list()
    assert [link.email for link in links] == [""]
    for member in (ann, other):
        assert messages(await member.asks("GET", "/me"), 401) == ["Sign in first"]
        assert messages(await member.leaves(), 401) == ["Sign in first"]
    subject, body = (await market.auth.outbox("users", ann.id))[-1]
    assert (subject, body["deleted"], body["name"]) == ("user.updated", True, None)
    assert body["passkeysChangedAt"] is None  # or mail would try to tell the person


async def test_the_address_of_a_deleted_account_can_be_used_again(market: Market, ann: Member) -> None:
    assert (await ann.leaves()).status_code == 200
    signed_out = await market.auth.ask("POST", "/api/users/signin", json=ANN)
    assert messages(signed_out, 401) == ["Invalid credentials"]
    again = await sign_up(market.auth)
    assert again.id != ann.id
    assert (await again.leaves()).status_code == 200


async def test_nobody_can_take_the_text_in_place_of_the_address(market: Market, ann: Member) -> None:
    body = {"email": f"deleted:{ann.id}", "password": "correct horse"}
    assert (await market.auth.ask("POST", "/api/users/signup", json=body)).status_code == 400
    assert (await ann.leaves()).status_code == 200
    assert (await market.auth.ask("POST", "/api/users/signin", json=body)).status_code in {400, 401}


async def test_the_profile_of_a_deleted_user_says_so_and_mail_finds_no_address(
    market: Market, ann: Member
) -> None:
    profile = await market.auth.ask("GET", f"/api/users/{ann.id}")
    assert profile.json()["deleted"] is False
    await ann.leaves()
    profile = await market.auth.ask("GET", f"/api/users/{ann.id}")
    assert (profile.status_code, profile.json()["deleted"], profile.json()["name"]) == (200, True, None)
    headers = {"Authorization": f"Bearer {mail_token(market.auth.app.state.settings)}"}
    for link in await Link.find({"user_id": ann.id}).to_list():
        path = f"/internal/links/{link.key}"
        assert (await market.auth.ask("POST", path, headers=headers)).status_code == 404
    recipient = await market.auth.ask("GET", f"/internal/users/{ann.id}", headers=headers)
    assert messages(recipient, 404) == ["Not found"]


async def test_deleting_asks_for_the_password(market: Market, ann: Member) -> None:
    assert messages(await ann.leaves("wrong"), 403) == ["Your current password is wrong"]
    assert (await ann.stored()).deleted_at is None


# At the same moment


async def let_in(request: asyncio.Task[httpx.Response], reached: asyncio.Event) -> None:
    """Wait until the request has got as far as the test lets it.

    Raises:
        AssertionError: it was answered before.
    """
    waiting = asyncio.create_task(reached.wait())
    await asyncio.wait({request, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert waiting.done(), request.result().text


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the services not check whether a user is closed."""

    async def not_closed(_: str) -> bool:
        return False

    monkeypatch.setattr(closed_users, "is_closed", not_closed)


async def reserves(market: Market, buyer: str, ticket: str) -> httpx.Response:
    return await market.orders.ask("POST", "/api/orders", by=buyer, json={"ticketId": ticket})


async def live_orders(buyer: str) -> int:
    return await Order.find({"user_id": buyer, "live": True}).count()


async def delete_during_a_reservation(market: Market, ann: Member) -> tuple[httpx.Response, httpx.Response]:
    """Delete the account after a reservation was let in, and before it is stored."""
    ticket, add, reached, stored = await on_sale(), Order.add, asyncio.Event(), asyncio.Event()

    async def add_later(order: Order, *, private: bool = False) -> None:
        reached.set()
        await stored.wait()
        order.network = "a" * 32  # as with limits per network
        await add(order, private=private)

    with patch.object(Order, "add", add_later):
        reservation = asyncio.create_task(reserves(market, ann.id, ticket))
        await let_in(reservation, reached)
        deletion = await ann.leaves()
        stored.set()
        return await reservation, deletion


async def test_a_reservation_that_is_stored_after_the_deletion_is_refused(
    market: Market, ann: Member
) -> None:
    reservation, deletion = await delete_during_a_reservation(market, ann)
    assert deletion.status_code == 200
    assert messages(reservation, 403) == ["Your account is being deleted"]
    assert await live_orders(ann.id) == 0
    assert await Order.find({"user_id": ann.id, "network": {"$ne": None}}).count() == 0


async def test_control_without_the_check_the_reservation_of_a_deleted_user_stays(
    market: Market, ann: Member, unchecked: None
) -> None:
    reservation, deletion = await delete_during_a_reservation(market, ann)
    assert (reservation.status_code, deletion.status_code) == (201, 200)
    assert await live_orders(ann.id) == 1


async def delete_during_a_listing(market: Market, ann: Member) -> httpx.Response:
    """Delete the account, with all that follows, after a listing was let in, and before it is stored."""
    add, reached, stored = Ticket.add, asyncio.Event(), asyncio.Event()

    async def add_later(ticket: Ticket, *, private: bool = False) -> None:
        reached.set()
        await stored.wait()
        await add(ticket, private=private)

    with patch.object(Ticket, "add", add_later):
        body = {"title": "Hamlet", "price": 19.99, "notes": "Call Ann", "privateNote": "AB12"}
        headers = {"Idempotency-Key": "ann-0001-0001-0001"}
        listing = asyncio.create_task(
            market.tickets.ask("POST", "/api/tickets", by=ann.id, json=body, headers=headers)
        )
        await let_in(listing, reached)
        assert (await ann.leaves()).status_code == 200
        await tickets_leaving.follow_user(left(ann.id))
        stored.set()
        return await listing


async def test_a_listing_that_is_stored_after_the_deletion_is_taken_off_sale(
    market: Market, ann: Member
) -> None:
    assert messages(await delete_during_a_listing(market, ann), 403) == ["Your account is being deleted"]
    [ticket] = await Ticket.find({"user_id": ann.id}).to_list()
    assert (ticket.status, ticket.notes, ticket.private_note) == ("withdrawn", None, None)
    assert (ticket.idempotency_key, ticket.request_hash) == (None, None)


async def test_control_without_the_check_the_listing_of_a_deleted_user_stays_on_sale(
    market: Market, ann: Member, unchecked: None
) -> None:
    assert (await delete_during_a_listing(market, ann)).status_code == 201
    [ticket] = await Ticket.find({"user_id": ann.id}).to_list()
    assert (ticket.status, ticket.private_note) == ("available", "AB12")


async def note_during_the_deletion(market: Market, ann: Member) -> tuple[httpx.Response, Ticket]:
    """Delete the account, with all that follows, after a private note was let in, and before it is stored."""
    key = await stored_ticket(ann.id, now() - DAY, status="sold")
    reached, stored = asyncio.Event(), asyncio.Event()
    is_closed, checks = closed_users.is_closed, 0

    async def wait_before_storing(user: str) -> bool:
        nonlocal checks
        found = await is_closed(user)
        checks += 1
        if checks == 1:
            reached.set()
            await stored.wait()
        return found

    with patch.object(closed_users, "is_closed", wait_before_storing):
        path = f"/api/tickets/{key}/private-note"
        noting = asyncio.create_task(
            market.tickets.ask("PUT", path, by=ann.id, json={"privateNote": "Gate 4"})
        )
        await let_in(noting, reached)
        assert (await ann.leaves()).status_code == 200
        await tickets_leaving.follow_user(left(ann.id))
        stored.set()
        answer = await noting
    ticket = await Ticket.first({"_id": ObjectId(key)})
    assert ticket is not None
    return answer, ticket


async def test_a_private_note_that_is_stored_after_the_deletion_is_removed(
    market: Market, ann: Member
) -> None:
    answer, ticket = await note_during_the_deletion(market, ann)
    assert messages(answer, 403) == ["Your account is being deleted"]
    assert ticket.private_note is None


async def test_control_without_the_check_the_private_note_of_a_deleted_user_stays(
    market: Market, ann: Member, unchecked: None
) -> None:
    answer, ticket = await note_during_the_deletion(market, ann)
    assert (answer.status_code, ticket.private_note) == (200, "Gate 4")


async def test_a_private_note_is_kept_while_its_seller_is_closed(market: Market, ann: Member) -> None:
    key = await stored_ticket(ann.id, now() - DAY, status="sold", private_note="Gate 4")
    await closed_users.close(ann.id, "1", DAY)
    path = f"/api/tickets/{key}/private-note"
    for note in ("Gate 5", None):
        answer = await market.tickets.ask("PUT", path, by=ann.id, json={"privateNote": note})
        assert messages(answer, 403) == ["Your account is being deleted"]
    ticket = await Ticket.first({"_id": ObjectId(key)})
    assert ticket is not None
    assert ticket.private_note == "Gate 4"


async def delete_before_a_reservation(
    market: Market, ann: Member, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> httpx.Response:
    """Reserve a ticket after the first look at what is open, and before the account is closed."""
    look = Neighbors.open_matters

    async def look_and_reserve(self: Neighbors, user_id: str) -> list[OpenMatter]:
        found = await look(self, user_id)
        assert (await reserves(market, user_id, ticket)).status_code == 201
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Neighbors, "open_matters", look_and_reserve)
        return await ann.leaves()


async def test_a_reservation_just_before_the_account_is_closed_prevents_its_deletion(
    market: Market, ann: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletion = await delete_before_a_reservation(market, ann, await on_sale(), monkeypatch)
    assert messages(deletion, 409) == ["Your account can't be deleted while money or tickets are open"]
    assert (await ann.stored()).closing is None
    assert (await ann.asks("GET", "/me")).status_code == 200
    assert (await reserves(market, ann.id, await on_sale())).status_code == 201


async def test_control_without_the_second_look_a_user_with_a_reservation_is_deleted(
    market: Market, ann: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close_without_looking(*_: object) -> list[OpenMatter]:
        return []

    monkeypatch.setattr(Neighbors, "close", close_without_looking)
    deletion = await delete_before_a_reservation(market, ann, await on_sale(), monkeypatch)
    assert (deletion.status_code, await live_orders(ann.id)) == (200, 1)


async def sign_in_during_the_deletion(market: Market, ann: Member) -> httpx.Response:
    """The password was right, and then the account was deleted before the session was stored."""
    add, started, stored = Session.add, asyncio.Event(), asyncio.Event()

    async def add_later(session: Session, *, private: bool = False) -> None:
        started.set()
        await stored.wait()
        await add(session, private=private)

    with patch.object(Session, "add", add_later):
        sign_in = asyncio.create_task(
            market.auth.ask("POST", "/api/users/signin", json=ANN, headers={"User-Agent": FIREFOX})
        )
        await started.wait()
        assert (await ann.leaves()).status_code == 200
        stored.set()
        return await sign_in


async def test_a_session_that_starts_during_the_deletion_ends(market: Market, ann: Member) -> None:
    sign_in = await sign_in_during_the_deletion(market, ann)
    assert messages(sign_in, 403) == ["Your account is being deleted"]
    assert await Session.find({"user_id": ann.id, "ended_at": None}).count() == 0


async def passkey_sign_in_during_the_deletion(market: Market, ann: Member) -> SignedIn:
    """The passkey was right, and then the account was deleted before the session was stored."""
    user = await ann.stored()
    assert (await ann.leaves()).status_code == 200
    auth: Auth = market.auth.app.state.auth
    return await auth._begin_session(user, Client("9.9.9.9"))


async def test_a_sign_in_with_a_passkey_during_the_deletion_fails(market: Market, ann: Member) -> None:
    with pytest.raises(AccountClosed):
        await passkey_sign_in_during_the_deletion(market, ann)
    assert await Session.find({"user_id": ann.id, "ended_at": None}).count() == 0


async def test_control_without_the_check_a_session_outlives_the_account(
    market: Market, ann: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.actions.require_open", lambda user: None)
    await passkey_sign_in_during_the_deletion(market, ann)
    assert await Session.find({"user_id": ann.id, "ended_at": None}).count() == 1


async def test_what_is_stored_during_the_deletion_is_forgotten_later(market: Market, ann: Member) -> None:
    await sign_in_during_the_deletion(market, ann)
    await links.send(await ann.stored(), "reset-password", ANN["email"])  # was let in before, too
    assert {each.device for each in await Session.find({"user_id": ann.id}).to_list()} > {None}
    await market.departures.finish_deletions()
    assert (await ann.stored()).closing is not None, "requests may still be under way"
    await began_long_ago(ann)
    for _ in range(2):
        await market.departures.finish_deletions()
    for session in await Session.find({"user_id": ann.id}).to_list():
        assert (session.device, session.network, session.ended_at is None) == (None, None, False)
    assert [link.email for link in await Link.find({"user_id": ann.id}).to_list()] == [""]
    assert (await ann.stored()).closing is None
    deletions = [body for _, body in await market.auth.outbox("users", ann.id) if body["deleted"]]
    assert len(deletions) == 1


async def rename_during_the_deletion(market: Market, ann: Member) -> httpx.Response:
    """Delete the account after a change of the name was let in, and before it is stored."""
    account_of, reached, go_on = Departures._user_of, asyncio.Event(), asyncio.Event()

    async def wait_after_it(self: Any, identity: Any) -> User:
        user = await account_of(self, identity)
        reached.set()
        await go_on.wait()
        return user

    with patch.object(type(market.auth.app.state.accounts), "_user_of", wait_after_it):
        renaming = asyncio.create_task(ann.asks("PATCH", "/me", json={"name": "Ann L."}))
        await let_in(renaming, reached)
    assert (await ann.leaves()).status_code == 200
    go_on.set()
    return await renaming


async def test_a_change_that_was_let_in_before_the_deletion_adds_nothing(market: Market, ann: Member) -> None:
    assert messages(await rename_during_the_deletion(market, ann), 401) == ["Sign in first"]
    assert (await ann.stored()).name is None


async def test_control_without_the_refusal_of_writes_a_deleted_user_gets_a_name(
    market: Market, ann: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User, "write", User.save_and_publish)
    assert (await rename_during_the_deletion(market, ann)).status_code == 200
    assert (await ann.stored()).name == "Ann L."


async def test_a_user_suspended_during_the_deletion_stays_so(market: Market, ann: Member) -> None:
    await stop_while_closing(market, ann, "orders")
    await market.auth.app.state.auth.suspend(ann.id, "sold the same ticket twice")
    sign_in = await market.auth.ask("POST", "/api/users/signin", json=ANN)
    assert "suspended" in messages(sign_in, 403)[0]
    market.owners["orders"].is_down = False
    await began_long_ago(ann)
    await market.departures.finish_deletions()
    user = await ann.stored()
    assert (user.deleted_at is None, user.suspended_at is None) == (False, False)
    assert user.suspension_reason is None  # it may say something about the person


async def test_operators_cannot_change_a_deleted_account(market: Market, ann: Member) -> None:
    assert (await ann.leaves()).status_code == 200
    auth = market.auth.app.state.auth
    for action in (auth.suspend(ann.id, "late"), auth.lift_suspension(ann.id), auth.end_sessions(ann.id)):
        with pytest.raises(NotFound):
            await action
    # An action that was let in before the deletion changes nothing either.
    assert (await (await ann.stored()).suspend("late")).suspended_at is None


async def test_two_deletions_at_once_delete_the_account_once(market: Market, ann: Member) -> None:
    answers = await asyncio.gather(*(ann.leaves() for _ in range(3)))
    assert 200 in {answer.status_code for answer in answers}
    assert {answer.status_code for answer in answers} <= {200, 401, 503}
    deletions = [body for _, body in await market.auth.outbox("users", ann.id) if body["deleted"]]
    assert len(deletions) == 1


async def test_an_older_attempt_does_not_reopen_what_a_newer_one_has_closed(market: Market) -> None:
    user, lifetime = new_id(), DAY
    await closed_users.close(user, "1", lifetime)
    await closed_users.close(user, "2", lifetime)
    await closed_users.reopen(user, "1")
    assert await closed_users.is_closed(user)
    await closed_users.reopen(user, "2")
    assert not await closed_users.is_closed(user)


async def attempt_twice(market: Market, ann: Member) -> httpx.Response:
    """Let another attempt begin, which sees nothing open, while orders hears of the first one last.

    The first attempt sees a reservation that is about to be undone.
    """
    close = Neighbors.close

    async def close_last(self: Neighbors, user_id: str, attempt: str) -> list[OpenMatter]:
        newer = str(ObjectId())
        await change(ann.stored, lambda stored: {"closing": newer})
        await closed_users.close(user_id, newer, DAY)
        await stored_order(user_id, None, status="created", live=True)
        return await close(self, user_id, attempt)

    with patch.object(Neighbors, "close", close_last):
        return await ann.leaves()


async def test_only_the_newest_attempt_reopens_an_account(market: Market, ann: Member) -> None:
    assert (await attempt_twice(market, ann)).status_code == 409
    assert await closed_users.is_closed(ann.id), "the newer attempt goes on"
    assert (await ann.stored()).closing is not None


async def test_control_without_the_look_an_older_attempt_reopens_what_a_newer_one_needs_closed(
    market: Market, ann: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def as_if_it_were_the_newest(user: User) -> User:
        closed = await ClosedUser.find_one({"_id": user.key})
        assert closed is not None
        changed: User = user.model_copy(update={"closing": closed.attempt})
        return changed

    monkeypatch.setattr(User, "newest", as_if_it_were_the_newest)
    assert (await attempt_twice(market, ann)).status_code == 409
    assert not await closed_users.is_closed(ann.id)
    assert (await ann.stored()).closing is not None, "the newer attempt goes on"


async def reopen_before_the_removal(market: Market, ann: Member) -> httpx.Response:
    """Let another attempt end with an open account, while a slow one has seen nothing open."""
    close = Neighbors.close

    async def close_slowly(self: Neighbors, user_id: str, attempt: str) -> list[OpenMatter]:
        found = await close(self, user_id, attempt)
        await change(ann.stored, lambda stored: {"closing": None})
        return found

    await market.auth.ask("POST", "/api/users/password-reset", json={"email": ANN["email"]})
    with patch.object(Neighbors, "close", close_slowly):
        return await ann.leaves()


async def test_an_attempt_that_was_overtaken_removes_nothing(market: Market, ann: Member) -> None:
    assert (await reopen_before_the_removal(market, ann)).status_code == 503
    assert (await ann.asks("GET", "/me")).status_code == 200
    assert [link.email for link in await Link.find({"user_id": ann.id}).to_list()] == [ANN["email"]]


async def test_control_without_attempts_a_slow_one_deletes_an_account_that_is_open_again(
    market: Market, ann: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    anonymized = departures._anonymized

    def whoever_closed_it(stored: User, *, attempt: str) -> Changes | None:
        return anonymized(stored.model_copy(update={"closing": attempt}), attempt=attempt)

    monkeypatch.setattr(departures, "_anonymized", whoever_closed_it)
    assert (await reopen_before_the_removal(market, ann)).status_code == 200
    assert (await ann.stored()).deleted_at is not None


# Outages and crashes


@pytest.mark.parametrize("name", ["tickets", "orders", "payments"])
async def test_nothing_changes_if_a_service_is_down_before(
    name: ServiceName, market: Market, ann: Member
) -> None:
    market.owners[name].is_down = True
    assert (await ann.leaves()).status_code == 503
    assert (await ann.asks("GET", "/me/open-matters")).status_code == 503
    assert (await ann.stored()).closing is None


async def stop_while_closing(market: Market, ann: Member, name: ServiceName) -> httpx.Response:
    """Stop a service after the first look at what is open."""
    look = Neighbors.open_matters

    async def look_and_stop(self: Neighbors, user_id: str) -> list[OpenMatter]:
        found = await look(self, user_id)
        market.owners[name].is_down = True
        return found

    with patch.object(Neighbors, "open_matters", look_and_stop):
        return await ann.leaves()


async def began_long_ago(ann: Member) -> None:
    attempt = str(ObjectId.from_datetime(now() - ATTEMPT_TIME - timedelta(seconds=1)))
    await User.get_pymongo_collection().update_one({"_id": ObjectId(ann.id)}, {"$set": {"closing": attempt}})


@pytest.mark.parametrize("name", ["tickets", "orders", "payments"])
async def test_a_deletion_that_a_service_interrupts_is_finished_later(
    name: ServiceName, market: Market, ann: Member
) -> None:
    answer = await stop_while_closing(market, ann, name)
    assert messages(answer, 503) == [
        "Your account will be deleted as soon as every part of the marketplace answers"
    ]
    sign_in = await market.auth.ask("POST", "/api/users/signin", json=ANN)
    assert messages(sign_in, 403) == ["Your account is being deleted"]

    await market.departures.finish_deletions()
    assert (await ann.stored()).closing is not None, "a new attempt may still be under way"
    await began_long_ago(ann)
    await market.departures.finish_deletions()
    assert (await ann.stored()).deleted_at is None

    market.owners[name].is_down = False
    await began_long_ago(ann)
    await market.departures.finish_deletions()
    assert (await ann.stored()).deleted_at is not None


async def test_an_interrupted_deletion_of_a_user_with_open_matters_is_undone(
    market: Market, ann: Member
) -> None:
    await stop_while_closing(market, ann, "payments")
    await stored_payment(ann.id, "pending")
    market.owners["payments"].is_down = False
    await began_long_ago(ann)
    await market.departures.finish_deletions()
    user = await ann.stored()
    assert (user.closing, user.deleted_at) == (None, None)
    assert await ClosedUser.find_all().count() == 0
    assert (await ann.asks("GET", "/me")).status_code == 200


async def test_a_deletion_that_stops_before_sessions_and_links_are_forgotten_is_finished_later(
    market: Market, ann: Member
) -> None:
    await market.auth.ask("POST", "/api/users/password-reset", json={"email": ANN["email"]})
    with (
        patch.object(Departures, "_forget", side_effect=RuntimeError("the process stops")),
        pytest.raises(RuntimeError),
    ):
        await market.departures._attempt(await ann.stored())
    assert messages(await ann.asks("GET", "/me/export"), 401) == ["Sign in first"]
    await began_long_ago(ann)
    await market.departures.finish_deletions()
    assert [link.email for link in await Link.find({"user_id": ann.id}).to_list()] == [""]
    assert await Session.find({"user_id": ann.id, "ended_at": None}).count() == 0
    user = await ann.stored()
    assert (user.closing, user.email) == (None, f"deleted:{ann.id}")


async def test_a_user_can_repeat_an_interrupted_deletion(market: Market, ann: Member) -> None:
    await stop_while_closing(market, ann, "orders")
    market.owners["orders"].is_down = False
    assert (await ann.leaves()).status_code == 200


# What other services forget


def left(user: str) -> UserUpdated:
    return UserUpdated(id=user, version=5, deleted=True)


async def test_orders_forgets_the_networks_and_keeps_the_books(orders: Served) -> None:
    user, other = new_id(), new_id()
    await stored_order(user, None)
    await stored_order(other, None)
    for _ in range(2):
        await orders_leaving.follow_user(left(user))
    await orders_leaving.follow_user(UserUpdated(id=user, version=4))  # arrives late
    await orders_leaving.follow_user(UserUpdated(id=other, version=1))
    mine, theirs = [await Order.first({"user_id": who}) for who in (user, other)]
    assert mine is not None
    assert theirs is not None
    assert (mine.network, mine.wide_network, mine.price_minor) == (None, None, 1999)
    assert theirs.network == "a" * 32


async def test_tickets_forgets_the_notes_and_takes_the_tickets_off_sale(tickets: Served) -> None:
    user, notes = new_id(), {"notes": "Call Ann", "private_note": "AB12", "idempotency_key": "k"}
    on_sale_key = await stored_ticket(user, None, **notes)
    sold_key = await stored_ticket(user, None, status="sold", **{**notes, "idempotency_key": None})
    for _ in range(2):
        await tickets_leaving.follow_user(left(user))
    await tickets_leaving.follow_user(UserUpdated(id=user, version=4))
    for key, status in ((on_sale_key, "withdrawn"), (sold_key, "sold")):
        ticket = await Ticket.first({"_id": ObjectId(key)})
        assert ticket is not None
        assert (ticket.status, ticket.notes, ticket.private_note) == (status, None, None)
        assert (ticket.idempotency_key, ticket.withdrawn) == (None, True)
        assert [body["status"] for _, body in await tickets.outbox("tickets", key)][-1] == status
        assert len(await tickets.outbox("tickets", key)) == 2


async def test_mail_forgets_messages_and_wishes(mail: Served) -> None:
    user, other = new_id(), new_id()
    for who in (user, other):
        await OptOut.choose(who, "new-device", is_wanted=False)
        message = Message(
            id=key_of("receipt", new_id(), who),
            kind="receipt",
            cause=new_id(),
            recipient=who,
            facts={},
            next_attempt_at=now(),
            created_at=now(),
        )
        await message.add()
    for _ in range(2):
        await mail_leaving.follow_user(left(user))
    await mail_leaving.follow_user(UserUpdated(id=other, version=1))
    assert [message.recipient for message in await Message.find_all().to_list()] == [other]
    assert (await OptOut.of_user(user), set(await OptOut.of_user(other))) == ({}, {"new-device"})


# Who may ask


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        *(
            (name, "GET", path)
            for name in ("tickets", "orders", "payments", "payouts")
            for path in ("open", "data")
        ),
        *(("tickets", "GET", path) for path in ("alerts", "matches", "listing-reports")),
        ("orders", "GET", "photos"),
        ("mail", "GET", "data"),
        ("mail", "GET", "opt-outs"),
        *((name, method, "closing/1") for name in ("tickets", "orders") for method in ("PUT", "DELETE")),
    ],
)
async def test_only_auth_may_ask_a_service_about_a_user(
    name: ServiceName, method: str, path: str, market: Market, ann: Member, mail: Served
) -> None:
    """Neither the internal secret, which all processes know, nor what auth sends to others is enough."""
    served = mail if name == "mail" else market.owners[name].served
    url = f"/internal/users/{ann.id}/{path}"
    settings = served.app.state.settings
    strangers = [token_for(ann.id), internal_token(settings), mail_token(settings)]
    strangers += [SIGNER.sign_request(other) for other in SERVICES if other != name]
    strangers.append(Signer(Ed25519PrivateKey.generate()).sign_request(name))
    for token in strangers:
        answer = await served.ask(method, url, headers={"Authorization": f"Bearer {token}"})
        assert messages(answer, 401) == ["This is for services of the marketplace"]
    ours = {"Authorization": f"Bearer {SIGNER.sign_request(name)}"}
    answer = await served.ask(method, url.replace("closing/1", f"closing/{new_id()}"), headers=ours)
    assert answer.status_code == 200, answer.text


async def test_an_account_with_money_open_cant_be_deleted(
    market: Market, ann: Member, payouts: PayoutsService
) -> None:
    sold = await payouts.sold(ann.id)
    assert await ann.matters() == ["payout"]
    assert (await ann.leaves()).status_code == 409
    await payouts.onboard(ann.id, "complete")
    await payouts.reconcile()
    assert await ann.matters() == []
    await payouts.empty_balance(ann.id)
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    assert await ann.matters() == ["debt"]
    assert (await ann.leaves()).status_code == 409
    await payouts.payouts.write_off(sold.id)
    assert (await ann.leaves()).status_code == 200

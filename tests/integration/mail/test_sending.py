"""Queued messages reach their recipients once, whatever fails on the way."""

import asyncio
import itertools
import re
import ssl
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from aiosmtpd.smtp import AuthResult
from prometheus_client import REGISTRY

from contracts.events import LinkCreated, SessionStarted, UserUpdated
from contracts.wire import now
from kit.background import cancel
from kit.errors import NotFound
from services.mail import actions, rules
from services.mail import sender as sending
from services.mail.documents import Message, OptOut
from services.mail.kinds.alerts import TicketAlert
from settings import Settings
from tests.integration.mail.conftest import Post, another_sender
from tests.support.mail import MailServerDouble
from tests.support.service import new_id


def alerts(kind: str) -> float:
    return REGISTRY.get_sample_value("stagedoor_alerts_total", {"kind": kind}) or 0


async def test_a_paid_order_is_told_to_its_buyer_and_its_seller(post: Post) -> None:
    order = post.order()
    async with post.server.running():
        await post.outgoing.tell(order)
        await post.sender.send_due()
    assert sorted(post.server.recipients) == sorted(
        [f"{order.user_id}@example.com", f"{order.seller_id}@example.com"]
    )
    assert {kind: each.status for kind, each in (await post.messages()).items()} == {
        "receipt": "sent",
        "sold": "sent",
    }
    receipt = next(each for each in post.server.received if "is paid" in each["Subject"])
    assert receipt["From"] == "Stagedoor <tickets@stagedoor.example>"
    assert receipt["Auto-Submitted"] == "auto-generated"
    assert receipt["Message-ID"].endswith("@stagedoor.example>")
    assert receipt["List-Unsubscribe"] is None
    (calendar,) = receipt.iter_attachments()
    assert calendar.get_content_type() == "text/calendar"


async def test_each_person_gets_a_message_in_the_language_that_they_have_chosen(post: Post) -> None:
    order = post.order()
    post.auth.languages[order.user_id] = "de"
    async with post.server.running():
        await post.outgoing.tell(order)
        await post.sender.send_due()
    languages = {each["To"]: each["Content-Language"] for each in post.server.received}
    assert languages == {f"{order.user_id}@example.com": "de", f"{order.seller_id}@example.com": "en"}
    assert any("ist bezahlt" in each["Subject"] for each in post.server.received)


async def test_repeated_and_reordered_events_send_each_message_once(post: Post) -> None:
    paid = post.order()
    refunded = paid.model_copy(
        update={"version": 4, "status": "refunded", "refunded_at": now(), "refunded_amount": 5990}
    )
    async with post.server.running():
        for event in (paid, paid, refunded, paid, refunded):
            await post.outgoing.tell(event)
            await post.sender.send_due()
    assert set((await post.messages()).keys()) == {"receipt", "sold", "refunded", "sale-refunded"}
    assert set(post.server.copies.values()) == {1}
    assert len(post.server.received) == 4


async def test_after_a_gap_the_buyer_gets_the_receipt_and_the_seller_is_not_told_to_hand_over(
    post: Post,
) -> None:
    order = post.order(status="refunded", refunded_at=now(), refunded_amount=5990)
    await post.outgoing.tell(order)
    assert set(await post.messages()) == {"receipt", "refunded", "sale-refunded"}


async def test_what_happened_long_ago_is_not_told(post: Post) -> None:
    await post.outgoing.tell(post.order(paid_at=now() - timedelta(days=3, seconds=1)))
    assert await post.messages() == {}
    await post.outgoing.tell(post.order(paid_at=now() - timedelta(days=2)))
    assert set(await post.messages()) == {"receipt", "sold"}


async def test_messages_wait_while_the_mail_server_is_down(post: Post) -> None:
    for _ in range(10):
        await post.outgoing.tell(post.order())
    assert await post.sender.send_due() > 0
    assert post.sender.is_paused
    async with post.server.running():
        await post.make_due()
        await post.sender.send_due()
    assert sorted(post.server.copies.values()) == [1] * 20
    assert post.server.connections <= post.settings.mail_connections


async def test_while_the_mail_server_is_down_few_messages_are_tried(post: Post) -> None:
    for _ in range(10):
        await post.outgoing.tell(post.order())
    await post.sender.send_due()
    tried = await Message.get_pymongo_collection().count_documents({"attempts": {"$gt": 0}})
    assert 0 < tried <= post.settings.mail_connections
    assert await post.sender.send_due() == 0  # paused


async def test_a_message_that_the_server_defers_is_sent_later(post: Post) -> None:
    post.server.to_recipient = lambda _: "450 4.2.0 greylisted"
    async with post.server.running():
        await post.outgoing.tell(post.order(seller_id=None))
        await post.sender.send_due()
        message = (await post.messages())["receipt"]
        assert (message.status, message.error, message.attempts) == ("queued", "450", 1)
        assert message.next_attempt_at > now() + timedelta(seconds=20)
        post.server.to_recipient = lambda _: "250 OK"
        await post.make_due()
        await post.sender.send_due()
    message = (await post.messages())["receipt"]
    assert (message.status, message.error, message.attempts) == ("sent", None, 2)


async def test_a_message_is_given_up_after_some_days(post: Post) -> None:
    post.server.to_recipient = lambda _: "450 4.2.0 greylisted"
    before = alerts("mail_failed")
    async with post.server.running():
        await post.outgoing.tell(post.order(seller_id=None))
        long_ago = {"$set": {"created_at": now() - timedelta(hours=72)}}
        await Message.get_pymongo_collection().update_many({}, long_ago)
        await post.sender.send_due()
    assert (await post.messages())["receipt"].status == "failed"
    assert alerts("mail_failed") == before + 1


@pytest.mark.parametrize("stage", ["recipient", "content"])
async def test_a_message_that_the_server_rejects_fails_and_alerts_operators(post: Post, stage: str) -> None:
    order = post.order()
    if stage == "recipient":
        buyer = f"{order.user_id}@example.com"
        post.server.to_recipient = lambda to: "550 5.1.1 no such user" if to == buyer else "250 OK"
    else:
        post.server.to_content = "554 5.7.1 refused"
    before = alerts("mail_failed")
    async with post.server.running():
        await post.outgoing.tell(order)
        await post.sender.send_due()
    messages = await post.messages()
    assert messages["receipt"].status == "failed"
    assert messages["receipt"].error == ("550" if stage == "recipient" else "554")
    assert messages["sold"].status == ("sent" if stage == "recipient" else "failed")
    assert alerts("mail_failed") == before + (1 if stage == "recipient" else 2)


async def test_an_address_that_somebody_invented_alerts_no_operator(post: Post) -> None:
    """Anybody could cause alerts otherwise, in which those about receipts would be lost."""
    link = LinkCreated(id=new_id(), version=0, user_id=new_id(), kind="confirm-email", expires_at=now())
    path = "/account/confirm?link=x"
    post.auth.links[link.id] = {"email": "no@example.com", "path": path, "expiresAt": "2027-01-01T00:00:00Z"}
    post.server.to_recipient = lambda _: "550 5.1.1 unknown"
    before = alerts("mail_failed")
    async with post.server.running():
        await post.outgoing.tell(link)
        await post.sender.send_due()
    message = (await post.messages())["confirm-address"]
    assert (message.status, message.error) == ("failed", "550")
    assert alerts("mail_failed") == before


async def test_after_a_rejection_the_next_message_to_the_address_is_tried(post: Post) -> None:
    first = post.order(seller_id=None)
    post.server.to_recipient = lambda _: "550 5.2.1 mailbox disabled"
    async with post.server.running():
        await post.outgoing.tell(first)
        await post.sender.send_due()
        assert (await post.messages())["receipt"].status == "failed"
        post.server.to_recipient = lambda _: "250 OK"
        await post.outgoing.tell(post.order(user_id=first.user_id, seller_id=None))
        await post.sender.send_due()
    assert post.server.recipients == [f"{first.user_id}@example.com"]
    messages = Message.get_pymongo_collection()
    assert [await messages.count_documents({"status": each}) for each in ("failed", "sent")] == [1, 1]


async def test_a_server_that_refuses_our_sender_alerts_operators_and_loses_nothing(post: Post) -> None:
    post.server.to_sender = "550 5.7.1 sender not allowed"
    before = alerts("mail_refused")
    async with post.server.running():
        await post.outgoing.tell(post.order(seller_id=None))
        await post.sender.send_due()
        assert alerts("mail_refused") == before + 1
        assert (await post.messages())["receipt"].status == "queued"
        post.server.to_sender = "250 OK"
        await post.make_due()
        await post.sender.send_due()
    assert (await post.messages())["receipt"].status == "sent"


async def test_a_process_that_dies_before_recording_sends_a_copy_with_the_same_message_id(
    post: Post,
) -> None:
    await post.outgoing.tell(post.order(seller_id=None))
    async with post.server.running():
        with patch.object(Message, "end", side_effect=asyncio.CancelledError):
            await asyncio.gather(post.sender.send_due(), return_exceptions=True)
        assert (await post.messages())["receipt"].status == "queued"
        async with another_sender(post.settings) as other:
            assert await other.send_due() == 0  # the claim of the dead process still holds
            await post.make_due()
            await other.send_due()
    (copies,) = post.server.copies.values()
    assert copies == 2
    assert (await post.messages())["receipt"].status == "sent"


async def stop_while_sending(post: Post, *, careful: bool) -> None:
    """Stop the process while the mail server has taken a message and hasn't answered yet."""
    taken, answer = asyncio.Event(), asyncio.Event()

    async def hesitate() -> None:
        taken.set()
        await answer.wait()

    post.server.before_answer = hesitate
    await post.outgoing.tell(post.order(seller_id=None))
    async with post.server.running():
        work = asyncio.create_task(post.sender.send_due())
        await taken.wait()
        if not careful:
            for task in post.sender._work:
                task.cancel()
        await cancel(work)
        finished = asyncio.create_task(post.sender.finish())
        await asyncio.sleep(0)  # `finish` waits
        answer.set()
        await finished
        post.server.before_answer = None
        async with another_sender(post.settings) as other:
            await post.make_due()
            await other.send_due()


async def test_a_process_that_stops_finishes_what_it_has_begun(post: Post) -> None:
    await stop_while_sending(post, careful=True)
    assert list(post.server.copies.values()) == [1]


async def test_control_a_process_that_stops_at_once_sends_a_message_twice(post: Post) -> None:
    await stop_while_sending(post, careful=False)
    assert list(post.server.copies.values()) == [2]


async def send_in_three_processes(post: Post) -> MailServerDouble:
    """Send one message from three processes that find it at the same time."""
    await post.outgoing.tell(post.order(seller_id=None))
    find, together = Message.due_at, asyncio.Barrier(3)
    finds = itertools.count(1)

    async def find_together(moment: Any, limit: int) -> list[Message]:
        found = await find(moment, limit)
        if next(finds) <= together.parties:
            await together.wait()
        return found

    async with (
        post.server.running(),
        another_sender(post.settings) as second,
        another_sender(post.settings) as third,
    ):
        with patch.object(Message, "due_at", find_together):
            await asyncio.gather(*(each.send_due() for each in (post.sender, second, third)))
    return post.server


async def test_three_processes_send_a_message_once(post: Post) -> None:
    server = await send_in_three_processes(post)
    assert list(server.copies.values()) == [1]


async def test_control_without_the_claim_three_processes_send_it_three_times(post: Post) -> None:
    async def always(*_: Any) -> bool:
        return True

    with patch.object(Message, "claim", always):
        server = await send_in_three_processes(post)
    assert list(server.copies.values()) == [3]


async def test_a_thousand_messages_are_sent_once_each_through_few_connections(post: Post) -> None:
    for _ in range(500):
        await post.outgoing.tell(post.order())
    async with post.server.running(), another_sender(post.settings) as other:
        rounds = 0
        while len(post.server.received) < 1_000 and rounds < 10:  # two, unless the machine is busy
            await asyncio.gather(post.sender.send_due(), other.send_due())
            rounds += 1
    assert len(post.server.received) == 1_000
    assert set(post.server.copies.values()) == {1}
    assert post.server.connections <= max(rounds, 2) * post.settings.mail_connections + 1_000 / 100


@pytest.mark.parametrize("status", [503, 401])
async def test_messages_wait_while_auth_is_down_or_has_another_token_than_mail(
    post: Post, status: int
) -> None:
    post.auth.status = status
    async with post.server.running():
        await post.outgoing.tell(post.order())
        await post.sender.send_due()
        assert post.sender.is_paused
        post.auth.status = None
        await post.make_due()
        await post.sender.send_due()
    assert len(post.server.received) == 2


async def test_a_wrong_answer_of_auth_about_one_user_does_not_delay_the_others(post: Post) -> None:
    order = post.order()
    post.auth.users[order.user_id] = 5  # type: ignore[assignment] # the answer isn't valid
    async with post.server.running():
        await post.outgoing.tell(order)
        await post.sender.send_due()
    messages = await post.messages()
    assert (messages["receipt"].status, messages["receipt"].error) == ("queued", "auth-bad-answer")
    assert messages["sold"].status == "sent"


async def test_a_message_to_a_deleted_account_is_dropped_after_an_hour(post: Post) -> None:
    order = post.order(seller_id=None)
    del post.auth.users[order.user_id]
    async with post.server.running():
        await post.outgoing.tell(order)
        await post.sender.send_due()
        assert (await post.messages())["receipt"].status == "queued"
        early = {"$set": {"created_at": now() - timedelta(hours=1, seconds=1)}}
        await Message.get_pymongo_collection().update_many({}, early)
        await post.make_due()
        await post.sender.send_due()
    assert (await post.messages())["receipt"].status == "dropped"


async def test_a_link_goes_to_the_address_that_auth_names(post: Post) -> None:
    link = LinkCreated(
        id=new_id(), version=0, user_id=new_id(), kind="change-email", expires_at=now() + timedelta(days=1)
    )
    path = f"/account/change-email?link={link.id}.0123abcd"
    post.auth.links[link.id] = {"email": "new@example.com", "path": path, "expiresAt": "2027-01-01T00:00:00Z"}
    async with post.server.running():
        await post.outgoing.tell(link)
        await post.sender.send_due()
    assert post.server.recipients == ["new@example.com"]
    (message,) = post.server.received
    text = message.get_body(("plain",))
    assert text is not None
    assert f"{post.settings.site}{path}" in text.get_content().splitlines()


async def test_a_link_that_is_over_is_not_sent(post: Post) -> None:
    link = LinkCreated(
        id=new_id(), version=0, user_id=new_id(), kind="reset-password", expires_at=now() + timedelta(hours=1)
    )
    post.auth.links[link.id] = 410
    async with post.server.running():
        await post.outgoing.tell(link)
        await post.sender.send_due()
    message = (await post.messages())["reset-password"]
    assert (message.status, message.error) == ("dropped", "link-over")
    assert post.server.received == []


async def test_each_change_of_a_password_is_told_once(post: Post) -> None:
    user = new_id()
    post.auth.users[user] = "ada@example.com"
    async with post.server.running():
        started = now()
        for seconds in (20, 20, 10, 20):
            changed_at = started - timedelta(seconds=seconds)
            await post.outgoing.tell(UserUpdated(id=user, version=3, password_changed_at=changed_at))
        await post.sender.send_due()
    assert [each["Subject"] for each in post.server.received] == ["Your password was changed"] * 2


@pytest.mark.parametrize("kind", ["new-device", "password-changed"])
async def test_a_person_gets_three_messages_of_a_kind_about_the_account_in_half_an_hour(
    post: Post, kind: str
) -> None:
    """Whoever signs up with the address of somebody else can't flood that mailbox."""
    user, other = new_id(), new_id()
    post.auth.users |= {user: "ada@example.com", other: "bob@example.com"}
    started = now()

    async def tell(recipient: str, number: int) -> None:
        moment = started - timedelta(seconds=10 - number)
        event = (
            SessionStarted(session_id=new_id(), user_id=recipient, started_at=moment, device=None)
            if kind == "new-device"
            else UserUpdated(id=recipient, version=number, password_changed_at=moment)
        )
        with patch.object(actions, "now", return_value=moment):
            await post.outgoing.tell(event)

    async with post.server.running(), another_sender(post.settings) as second:
        for number in range(1, 7):
            await tell(user, number)
        await tell(other, 1)
        await asyncio.gather(post.sender.send_due(), second.send_due())
        assert sorted(post.server.recipients) == ["ada@example.com"] * 3 + ["bob@example.com"]
        messages = Message.get_pymongo_collection()
        assert await messages.count_documents({"status": "dropped", "error": "too-many"}) == 3
        earlier = {"$set": {"created_at": started - rules.WINDOW - timedelta(seconds=10)}}
        await messages.update_many({}, earlier)
        await tell(user, 7)
        await post.sender.send_due()
    assert post.server.recipients[-1] == "ada@example.com"


async def test_messages_to_one_person_are_sent_in_order_so_that_a_later_one_is_not_dropped_for_dropped_ones(
    post: Post,
) -> None:
    user, started = new_id(), now() - timedelta(minutes=60)
    post.auth.users[user] = "ada@example.com"
    for minute in (*range(20), 35):
        moment = started + timedelta(minutes=minute)
        event = SessionStarted(session_id=new_id(), user_id=user, started_at=moment, device=f"No. {minute}")
        with patch.object(actions, "now", return_value=moment):
            await post.outgoing.tell(event)
    one_by_one = post.settings.model_copy(update={"mail_connections": 1})
    async with post.server.running(), another_sender(one_by_one) as sender:
        await sender.send_due()
    texts = [str(each.get_body(("plain",))) for each in post.server.received]
    told = [minute for text in texts for minute in re.findall(r"Device: No\. (\d+)", text)]
    assert told == ["0", "1", "2", "35"]


@pytest.mark.parametrize(("limit", "sent"), [(2, 2), (0, 3)])
async def test_a_person_gets_so_many_optional_messages_a_day_and_all_about_money(
    post: Post, limit: int, sent: int
) -> None:
    order, started = post.order(), now()
    ages = [timedelta(hours=hours) for hours in (30, 3, 2, 1)]
    settings = post.settings.model_copy(update={"mail_daily_limit": limit})
    async with post.server.running(), another_sender(settings) as sender, another_sender(settings) as second:
        for age in ages:  # the first is of another day, and more than half an hour is between any two
            event = SessionStarted(
                session_id=new_id(), user_id=order.seller_id, started_at=started - age, device=None
            )
            with patch.object(actions, "now", return_value=started - age):
                await post.outgoing.tell(event)
        await post.outgoing.tell(order)
        await asyncio.gather(sender.send_due(), second.send_due())
    subjects = sorted(str(each["Subject"]).partition(":")[0] for each in post.server.received)
    assert subjects.count("A sign-in on a new device") == 1 + sent
    assert len(subjects) == 1 + sent + 2  # and the receipt, and the message to the seller
    dropped = await Message.get_pymongo_collection().find({"status": "dropped"}).to_list()
    assert [each["error"] for each in dropped] == ["daily-limit"] * (3 - sent)


async def test_many_alerts_do_not_use_up_the_notices_of_sign_ins(post: Post) -> None:
    user, alert = new_id(), TicketAlert().example()
    post.auth.users[user] = "ada@example.com"
    settings = post.settings.model_copy(update={"mail_daily_limit": 2})
    async with post.server.running(), another_sender(settings) as sender:
        for minute in range(4, 0, -1):
            moment = now() - timedelta(minutes=minute)
            ticket = alert.ticket.model_copy(update={"id": new_id()})
            changes = {"user_id": user, "matched_at": moment, "ticket": ticket}
            with patch.object(actions, "now", return_value=moment):
                for _repeated in range(2):
                    await post.outgoing.tell(alert.model_copy(update=changes))
        await post.outgoing.tell(SessionStarted(session_id=new_id(), user_id=user, started_at=now()))
        await sender.send_due()
    subjects = sorted(str(each["Subject"]).partition(":")[0] for each in post.server.received)
    assert subjects == ["A sign-in on a new device", "On sale now", "On sale now"]
    alerts = [each for each in post.server.received if "On sale now" in str(each["Subject"])]
    assert {each["List-Unsubscribe-Post"] for each in alerts} == {"List-Unsubscribe=One-Click"}
    assert all(f"?token={user}.ticket-alert." in str(each["List-Unsubscribe"]) for each in alerts)


async def test_a_user_resumes_optional_messages_and_no_others(post: Post) -> None:
    user = new_id()
    await OptOut.choose(user, "ticket-alert", is_wanted=False)
    assert not await actions.wants(user, "ticket-alert")
    assert await actions.wants(user, "new-device")
    for _repeated in range(2):
        await actions.resume(user, "ticket-alert")
        assert await actions.wants(user, "ticket-alert")
    for kind in ("receipt", "unknown", ""):
        with pytest.raises(NotFound):
            await actions.resume(user, kind)
        with pytest.raises(NotFound):
            await actions.wants(user, kind)


async def test_an_unwanted_message_is_not_sent(post: Post) -> None:
    event = SessionStarted(session_id=new_id(), user_id=new_id(), started_at=now(), device="Firefox on Linux")
    post.auth.users[event.user_id] = "ada@example.com"
    await OptOut.choose(event.user_id, "new-device", is_wanted=False)
    async with post.server.running():
        await post.outgoing.tell(event)
        await post.sender.send_due()
        assert (await post.messages())["new-device"].status == "dropped"
        await OptOut.choose(event.user_id, "new-device", is_wanted=True)
        await post.outgoing.tell(event.model_copy(update={"session_id": new_id()}))
        await post.sender.send_due()
    assert post.server.recipients == ["ada@example.com"]
    (message,) = post.server.received
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert f"{post.settings.site}/mail/unsubscribe?token={event.user_id}.new-device." in str(
        message["List-Unsubscribe"]
    )


async def test_no_address_and_no_content_is_logged_or_stored(
    post: Post, logged: pytest.LogCaptureFixture
) -> None:
    title = "Zyxwv"
    order = post.order()
    order = order.model_copy(update={"ticket": order.ticket.model_copy(update={"title": title})})
    answers = iter(["450 4.2.0 <{0}> try later", "550 5.1.1 <{0}> unknown", *["250 OK"] * 9])
    post.server.to_recipient = lambda to: next(answers).format(to)
    async with post.server.running():
        await post.outgoing.tell(order)
        await post.sender.send_due()
        await post.make_due()
        await post.sender.send_due()
    ours = [record for record in logged.records if record.name != "mail.log"]  # the server of the test
    for record in ours:
        text = f"{record.getMessage()} {record.exc_info or ''} {record.__dict__}"
        assert "example.com" not in text
        assert title not in text
    assert len(ours) >= 3
    stored = str(await Message.get_pymongo_collection().find().to_list())
    assert "example.com" not in stored


async def test_an_unknown_kind_waits_for_a_process_that_knows_it(post: Post) -> None:
    await post.outgoing.tell(post.order(seller_id=None))
    await Message.get_pymongo_collection().update_many({}, {"$set": {"kind": "payout"}})
    async with post.server.running():
        await post.sender.send_due()
    message = (await post.messages())["payout"]
    assert (message.status, message.error) == ("queued", "unknown-kind")


def encrypted(settings: Settings, server: MailServerDouble, form: str) -> Settings:
    return Settings(**{**settings.model_dump(), "smtp_url": form.format(port=server.port), "_env_file": None})


async def test_a_stored_message_that_cannot_be_read_does_not_hold_up_the_others(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await post.outgoing.tell(post.order())
    receipt = (await post.messages())["receipt"]
    broken = {"$set": {"attempts": "ada@example.com"}}
    await Message.get_pymongo_collection().update_one({"_id": receipt.id}, broken)
    async with post.server.running():
        await post.sender.send_due()
    assert len(post.server.received) == 1
    assert f"message {receipt.id} can't be read: attempts" in caplog.text
    assert "ada@example.com" not in caplog.text


async def test_a_server_without_starttls_gets_nothing_if_it_is_required(post: Post) -> None:
    settings = encrypted(post.settings, post.server, "smtp://127.0.0.1:{port}?starttls=required")
    before = alerts("mail_refused")
    async with post.server.running(), another_sender(settings) as sender:
        await post.outgoing.tell(post.order(seller_id=None))
        await sender.send_due()
    message = (await post.messages())["receipt"]
    assert (message.status, message.error) == ("queued", "no-tls-or-login")
    assert alerts("mail_refused") == before + 1


async def test_a_server_with_a_certificate_of_a_stranger_gets_nothing(
    post: Post, stranger: ssl.SSLContext
) -> None:
    settings = encrypted(post.settings, post.server, "smtp://127.0.0.1:{port}?starttls=required")
    async with post.server.running(tls_context=stranger), another_sender(settings) as sender:
        await post.outgoing.tell(post.order(seller_id=None))
        await sender.send_due()
    message = (await post.messages())["receipt"]
    assert (message.status, message.error) == ("queued", "tls")


async def test_mail_is_sent_with_starttls_and_a_login(
    post: Post, stranger: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, certificate: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    logins = []

    def login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        logins.append((data.login, data.password))
        return AuthResult(success=True)

    settings = encrypted(post.settings, post.server, "smtp://me:p%40ss@localhost:{port}?starttls=required")
    async with (
        post.server.running(tls_context=stranger, require_starttls=True, authenticator=login),
        another_sender(settings) as sender,
    ):
        await post.outgoing.tell(post.order(seller_id=None))
        await sender.send_due()
    assert logins == [(b"me", b"p@ss")]
    assert (await post.messages())["receipt"].status == "sent"


def test_a_claim_is_longer_than_an_attempt() -> None:
    assert sending.CLAIM.total_seconds() > sending.SECONDS + 10

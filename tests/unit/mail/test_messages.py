"""What messages say, and that people's texts change nothing but themselves."""

import re
from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Event, OrderEvent
from kit.texts import using
from services.mail.kinds import BY_NAME, KINDS
from services.mail.kinds.alerts import AlertFacts
from services.mail.kinds.base import AnyKind, Site
from services.mail.kinds.orders import EXAMPLE
from services.mail.kinds.payouts import DebtSettled, PaidOut
from services.mail.kinds.texts import day_and_time, short
from services.mail.rendering import Stationery
from streams.mail import listener

SITE = Site("https://stagedoor.example", "usd", 24, 72)
STATIONERY = Stationery("Stagedoor <tickets@stagedoor.example>", SITE.url)
LINK = "https://stagedoor.example/account/reset?link=1.2"


def email_of(kind: AnyKind, event: Event | None = None) -> EmailMessage:
    """The message as its recipient gets it."""
    notice = kind.notice(event or kind.example())
    assert notice is not None
    content = kind.content(notice.facts, SITE, LINK if kind.needs_link else SITE.url)
    sent = STATIONERY.email("key", content, "ada@example.com", "token" if kind.is_optional else None)
    received = message_from_bytes(bytes(sent), policy=default)
    assert isinstance(received, EmailMessage)
    return received


def text_of(message: EmailMessage, subtype: str = "plain") -> str:
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content())


def titled(title: str) -> OrderEvent:
    return EXAMPLE.model_copy(update={"ticket": EXAMPLE.ticket.model_copy(update={"title": title})})


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> AnyKind:
    found: AnyKind = request.param
    return found


def test_each_kind_has_its_own_name_and_a_subscriber_for_each_of_its_events() -> None:
    assert len(BY_NAME) == len(KINDS)
    heard = {subscription.event for subscription in listener.subscriptions}
    assert {event for kind in KINDS for event in kind.events} == heard


def test_a_stored_fact_is_read_as_it_was_stored(kind: AnyKind) -> None:
    notice = kind.notice(kind.example())
    assert notice is not None
    assert kind.facts.model_validate(notice.facts.model_dump()) == notice.facts


def test_text_and_html_say_the_same_and_have_the_same_link(kind: AnyKind) -> None:
    message = email_of(kind)
    text, html = text_of(message), text_of(message, "html")
    (address,) = re.findall(r'<a class="button" href="([^"]+)"', html)
    assert address in text.splitlines()
    assert address.startswith(f"{SITE.url}/")
    assert (address == LINK) is kind.needs_link
    seen = " ".join(re.sub(r"<[^>]+>", " ", html).replace("&#39;", "'").split())
    for line in text.splitlines():
        words = line.strip().removeprefix("- ").removesuffix(":")
        if words and words != "--" and "unsubscribe" not in words:
            value = words.partition(": ")[2] if re.match(r"[A-Z]\w+: ", words) else words
            assert value in seen or value == SITE.url


def test_a_message_is_short_and_loads_nothing(kind: AnyKind) -> None:
    message = email_of(kind)
    html = text_of(message, "html")
    assert len(message["Subject"]) <= 140
    assert not re.search(r"<(img|script|link|iframe|form|object)\b|url\(|@import", html)
    assert '<html lang="en"' in html
    assert "prefers-color-scheme: dark" in html
    assert len(html) < 20_000  # Gmail hides what is beyond 102 KB


def test_every_kind_of_message_is_in_german_for_a_german_reader(kind: AnyKind) -> None:
    with using(Locale("de", "DE")):
        german = email_of(kind)
    english = email_of(kind)
    assert german["Content-Language"] == "de"
    assert '<html lang="de"' in text_of(german, "html")
    texts = [re.sub(r"\S*https?:\S*", "", text_of(each)).splitlines() for each in (german, english)]
    same = {line.strip() for line in texts[0]} & {line.strip() for line in texts[1]}
    assert {line for line in same if line not in {"", "--"} and "7K3WPD9RXE" not in line} <= {"Tickets: 2"}
    assert german["Subject"] != english["Subject"]


def test_dates_and_amounts_of_a_message_are_written_as_in_its_language() -> None:
    kind = BY_NAME["receipt"]
    with using(Locale("de", "DE")):
        text = text_of(email_of(kind)).replace("\xa0", " ")
    assert "Wann: Samstag, 12. Juni 2027, 20:30 Uhr (Ortszeit Berlin)" in text
    assert "Preis: 2 × 29,95 $" in text  # noqa: RUF001
    assert "When: Saturday 12 June 2027, 20:30 (Berlin time)" in text_of(email_of(kind))


def test_only_messages_about_neither_money_nor_a_change_of_the_account_are_optional() -> None:
    assert [kind.name for kind in KINDS if kind.is_optional] == ["ticket-alert", "new-device"]


def test_an_optional_message_can_be_stopped_with_one_click(kind: AnyKind) -> None:
    message = email_of(kind)
    if kind.is_optional:
        assert message["List-Unsubscribe"] == f"<{SITE.url}/mail/unsubscribe?token=token>"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    else:
        assert message["List-Unsubscribe"] is None


HOSTILE = [
    "<script>alert(1)</script><b>bold</b>",
    "Row 4\r\nBcc: eve@example.com\r\n\r\nHello",
    "Row 4\nSubject: another",
    "\u202ereversed\u202c and \u2066isolated",
    "=?utf-8?q?Bcc=3A_eve?=",
    "'\"&;--></title>",
    "עברית ועוד",
    "x" * 5000,
    "\x00\x07 control",
    "{{ 7 * 7 }} {% raw %}",
    "\u2028line\u2029separator",
    "😀" * 200,
]


@pytest.mark.parametrize("title", HOSTILE)
@pytest.mark.parametrize("name", ["receipt", "sold"])
def test_a_hostile_title_stays_a_title(name: str, title: str) -> None:
    message = email_of(BY_NAME[name], titled(title))
    plain = email_of(BY_NAME[name])
    assert message.keys() == plain.keys()
    assert message["To"] == "ada@example.com"
    assert "\n" not in message["Subject"]
    assert len(message["Subject"]) < 160
    assert not re.search("[\u202a-\u202e\x00-\x08]", message["Subject"])
    html = text_of(message, "html")
    tags = re.findall(r"<[/\w]+", html)
    assert tags == re.findall(r"<[/\w]+", text_of(plain, "html"))
    assert text_of(message).count("\n") == text_of(plain).count("\n")


@given(title=st.text(max_size=250))
@settings(max_examples=50, deadline=None)
def test_no_title_changes_the_headers(title: str) -> None:
    message = email_of(BY_NAME["receipt"], titled(title))
    assert message.keys() == email_of(BY_NAME["receipt"]).keys()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berlin", "Saturday 12 June 2027, 20:30 (Berlin time)"),
        ("America/New_York", "Saturday 12 June 2027, 14:30 (New York time)"),
        (None, "Saturday 12 June 2027, 18:30 (UTC)"),
        ("Mars/Olympus", "Saturday 12 June 2027, 18:30 (UTC)"),
        ("../../etc/passwd", "Saturday 12 June 2027, 18:30 (UTC)"),
    ],
)
def test_times_are_in_the_time_zone_of_the_event(zone: str | None, expected: str) -> None:
    assert EXAMPLE.ticket.starts_at is not None
    assert day_and_time(EXAMPLE.ticket.starts_at, zone) == expected


def test_a_seller_is_reminded_of_an_upload_with_the_deadline_in_the_time_zone_of_the_event() -> None:
    kind = BY_NAME["upload-reminder"]
    example: Any = kind.example()
    text = " ".join(text_of(email_of(kind)).split())
    assert day_and_time(example.deliver_by, example.ticket.time_zone) in text
    assert f"/tickets/{example.ticket.id}/files" in text
    for changes in ({"delivery": "delivered"}, {"reminded_at": None}, {"status": "refunded"}):
        assert kind.notice(example.model_copy(update=changes)) is None


def test_a_receipt_without_a_date_has_no_calendar_file() -> None:
    details: dict[str, Any] = dict.fromkeys(("starts_at", "venue", "city", "seat", "time_zone"))
    undated = EXAMPLE.model_copy(
        update={"code": None, "ticket": EXAMPLE.ticket.model_copy(update={**details, "quantity": 1})}
    )
    message = email_of(BY_NAME["receipt"], undated)
    assert list(message.iter_attachments()) == []
    assert "When" not in text_of(message)
    assert message["Subject"] == "Your order is paid: Low Roar: the last concert"


def test_a_long_title_is_cut_in_the_subject() -> None:
    assert short("word " * 40) == "word " * 15 + "word…"


def test_a_message_id_depends_on_the_key_alone_and_reveals_no_id() -> None:
    first, second = STATIONERY.message_id("receipt:65f0:ada"), STATIONERY.message_id("receipt:65f0:ada")
    assert first == second != STATIONERY.message_id("sold:65f0:ada")
    assert "65f0:" not in first
    assert first.endswith("@stagedoor.example>")


def test_of_a_sale_that_only_settles_a_debt_the_seller_is_told_so_and_not_of_a_payment() -> None:
    settled = DebtSettled().example()
    assert PaidOut().notice(settled) is None
    text = text_of(email_of(DebtSettled(), settled))
    assert "All of the $56.90 for order 7K3WPD9RXE settled what you owed, so we pay you nothing" in " ".join(
        text.split()
    )
    paid = PaidOut().example()
    assert DebtSettled().notice(paid) is None
    assert PaidOut().notice(paid) is not None


@pytest.mark.parametrize("changes", [{"state": "due"}, {"state": "reversed", "net": 0}, {"paid_at": None}])
def test_a_debt_is_settled_only_by_a_sale_that_counts_as_paid(changes: dict[str, Any]) -> None:
    event = DebtSettled().example()
    assert DebtSettled().notice(event.model_copy(update=changes)) is None


def test_an_alert_says_how_many_tickets_there_are_and_how_they_are_delivered() -> None:
    kind = BY_NAME["ticket-alert"]
    ticket = kind.example().ticket.model_copy(update={"delivery": "promised", "face_value": Decimal("90")})
    message = email_of(kind, kind.example().model_copy(update={"ticket": ticket}))
    assert "Seat: Row 4, seats 7 and 8" in text_of(message)
    assert "Tickets: 2" in text_of(message)
    assert "Face value: 2 \u00d7 $45.00" in text_of(message)
    assert "Delivery: The seller uploads the ticket after the sale" in text_of(message)
    stored = AlertFacts(ticket_id=ticket.id, title="Low Roar", price_minor=1000)
    assert [name for name, _ in stored.details("usd")] == ["Event", "Price"]


def test_the_addresses_in_notes_are_links() -> None:
    html = text_of(email_of(BY_NAME["ticket-alert"]), "html")
    address = f"{SITE.url}/account/alerts"
    assert re.search(rf'Change or stop single alerts: <a [^>]*href="{address}"[^>]*>{address}</a>', html)


def test_nobody_is_promised_that_a_confirmed_address_is_needed_or_enough_to_buy() -> None:
    assert "you can buy and sell" not in text_of(email_of(BY_NAME["confirm-address"]))

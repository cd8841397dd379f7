"""Sealed files of tickets: what is accepted, who reads them, and how long they are kept."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from contracts.events import OrderCreated, OrderedTicket, OrderUpdated
from contracts.tickets import MAX_FILE_BYTES
from contracts.wire import now
from kit.sealing import CHUNK_BYTES, Keys
from services.tickets import actions as tickets_actions
from services.tickets import leaving
from services.tickets.documents import Ticket
from services.tickets.files import actions, claims, retention, rules
from services.tickets.files.contents import Inspected
from services.tickets.files.documents import CodeClaim, FileAccess, FileChunk, FileKey, SealedFile
from services.tickets.files.vault import Vault
from tests.support import ticket_files
from tests.support.service import Served, SettingsWith, messages, new_id, serving
from tests.support.ticket_files import pdf, wallet_pass

ANN, BOB, CARL = new_id(), new_id(), new_id()
KEY, OTHER_KEY = "k" * 40, "o" * 40


async def list_ticket(tickets: Served, *, by: str = ANN, **details: Any) -> str:
    body = {"title": "Hamlet", "price": 10, **details}
    answer = await tickets.ask("POST", "/api/tickets", by=by, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def upload(tickets: Served, key: str, content: bytes, *, by: str | None = ANN) -> httpx.Response:
    return await tickets.ask("POST", f"/api/tickets/{key}/files", by=by, content=content)


async def add(tickets: Served, key: str, content: bytes, *, by: str = ANN) -> dict[str, Any]:
    answer = await upload(tickets, key, content, by=by)
    assert answer.status_code == 201, answer.text
    file: dict[str, Any] = answer.json()
    return file


async def files_of(tickets: Served, key: str, *, by: str = ANN) -> dict[str, Any]:
    answer = await tickets.ask("GET", f"/api/tickets/{key}/files", by=by)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def read(tickets: Served, key: str, file: dict[str, Any], *, by: str | None) -> httpx.Response:
    return await tickets.ask("GET", f"/api/tickets/{key}/files/{file['id']}", by=by)


async def delivery_of(tickets: Served, key: str) -> str:
    return str((await tickets.ask("GET", f"/api/tickets/{key}")).json()["delivery"])


class Order:
    """An order of a ticket, as the orders service announces it."""

    def __init__(self, key: str, buyer: str = BOB, hold: int = 1) -> None:
        self._key, self._buyer, self._hold = key, buyer, hold
        self._id, self._version = new_id(), 0

    async def becomes(self, status: str, *, delivery: str = "seller", **changes: Any) -> None:
        kind = OrderUpdated if self._version else OrderCreated
        ticket = OrderedTicket(id=self._key, title="Hamlet", price="10", delivery=delivery)  # type: ignore[arg-type]
        event = kind(
            id=self._id,
            version=self._version,
            status=status,  # type: ignore[arg-type]
            user_id=self._buyer,
            expires_at=now() + timedelta(minutes=5),
            hold=self._hold,
            ticket=ticket,
            **changes,
        )
        self._version += 1
        await tickets_actions.follow_order(event)


async def sell(key: str, buyer: str = BOB, hold: int = 1) -> Order:
    order = Order(key, buyer, hold)
    await order.becomes("created")
    await order.becomes("complete")
    return order


@pytest.mark.parametrize(
    ("content", "kind", "media_type"),
    [
        (pdf(["CODE-1001"]), "pdf", "application/pdf"),
        (ticket_files.image("CODE-1002"), "png", "image/png"),
        (ticket_files.image("CODE-1003", kind="JPEG"), "jpeg", "image/jpeg"),
        (wallet_pass("CODE-1004"), "pkpass", "application/vnd.apple.pkpass"),
    ],
    ids=["pdf", "png", "jpeg", "pkpass"],
)
async def test_a_file_of_each_kind_reaches_the_buyer_unchanged_as_a_download(
    tickets: Served, content: bytes, kind: str, media_type: str
) -> None:
    key = await list_ticket(tickets)
    file = await add(tickets, key, content)
    assert (file["kind"], file["seats"], file["codeFound"]) == (kind, 1, True)
    assert await delivery_of(tickets, key) == "instant"
    await sell(key)
    answer = await read(tickets, key, file, by=BOB)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="ticket-1.{kind}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"GIF89a", 415, "not-a-ticket-file"),
        (b"", 415, "not-a-ticket-file"),
        (ticket_files.archive({"document.xml": "<x/>"}), 415, "not-a-ticket-file"),
        (b"%PDF-1.4 nothing else", 400, "unreadable-file"),
        (pdf(["CODE-1"])[:400], 400, "unreadable-file"),
        (ticket_files.image("CODE-1")[:400], 400, "unreadable-file"),
        (wallet_pass("CODE-1")[:60], 400, "unreadable-file"),
        (ticket_files.encrypted_pdf(), 400, "encrypted-file"),
        (ticket_files.plain_pdf(10_000), 400, "too-many-pages"),
        (ticket_files.plain_pdf(1), 400, "blank-file"),
        (ticket_files.wallet_pass_of(f"CODE-{number}" for number in range(1_000)), 400, "file-too-complex"),
        (wallet_pass("CODE-\ud800"), 400, "unreadable-file"),
        (ticket_files.pass_with_two_contents("CODE-1", "CODE-2"), 400, "unreadable-file"),
    ],
    ids=[
        *("gif", "empty", "zip", "no-pdf", "cut-pdf", "cut-png", "cut-pass", "encrypted", "10000-pages"),
        *("blank", "1000-codes", "half-a-character", "two-contents"),
    ],
)
async def test_a_file_that_is_no_ticket_is_refused_with_its_reason_and_leaves_nothing(
    tickets: Served, content: bytes, status: int, code: str
) -> None:
    key = await list_ticket(tickets)
    answer = await upload(tickets, key, content)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")
    assert await SealedFile.count() == await FileChunk.count() == await CodeClaim.count() == 0


async def test_a_file_that_takes_too_long_is_refused(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(file_cpu_seconds=1, file_pages=0)) as tickets:
        answer = await upload(tickets, await list_ticket(tickets), ticket_files.plain_pdf(2000, size=2000))
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/file-too-complex")


async def test_a_file_of_more_than_10_mb_is_refused(tickets: Served) -> None:
    key = await list_ticket(tickets)
    assert (await upload(tickets, key, b"%PDF-" + bytes(MAX_FILE_BYTES))).status_code == 413


async def test_a_large_file_is_stored_in_encrypted_chunks_and_comes_back_whole(tickets: Served) -> None:
    key = await list_ticket(tickets)
    content = pdf(["CODE-2001"]) + b"%" + b"comment\n" * 100_000
    file = await add(tickets, key, content)
    chunks = await FileChunk.find({"file_id": file["id"]}).to_list()
    assert len(chunks) == -(-len(content) // CHUNK_BYTES) == 4
    for chunk in chunks:
        assert len(chunk.data) <= 256 * 1024
        assert b"comment" not in chunk.data
    await sell(key)
    assert (await read(tickets, key, file, by=BOB)).content == content


async def test_nobody_reads_a_file_before_the_sale_and_only_the_buyer_does_after_it(tickets: Served) -> None:
    key = await list_ticket(tickets)
    file = await add(tickets, key, pdf(["CODE-3001"]))
    for reader in (ANN, BOB):
        assert (await read(tickets, key, file, by=reader)).status_code == 403
    order = Order(key)
    await order.becomes("created")
    for reader in (ANN, BOB):
        assert (await read(tickets, key, file, by=reader)).status_code == 403
    await order.becomes("complete")
    assert (await read(tickets, key, file, by=BOB)).status_code == 200
    for reader in (ANN, CARL):
        answer = await read(tickets, key, file, by=reader)
        assert messages(answer, 403) == ["Only its buyer can read the files of a ticket"]
    assert (await read(tickets, key, file, by=None)).status_code == 401
    assert (await tickets.ask("GET", f"/api/tickets/{key}/files", by=CARL)).status_code == 403
    await order.becomes("refunded")
    assert (await read(tickets, key, file, by=BOB)).status_code == 403


async def test_each_access_is_recorded_and_the_seller_sees_their_number(tickets: Served) -> None:
    key = await list_ticket(tickets)
    file = await add(tickets, key, pdf(["CODE-3002"]))
    await sell(key)
    for _ in range(2):
        await read(tickets, key, file, by=BOB)
    await read(tickets, key, file, by=CARL)
    assert (await files_of(tickets, key))["files"][0]["reads"] == 2
    records = await FileAccess.find_all().to_list()
    assert [(each.user_id, each.file_id, str(each.ticket_id)) for each in records] == [
        (BOB, file["id"], key)
    ] * 2


async def test_a_set_is_instant_once_there_is_a_code_for_each_seat(tickets: Served) -> None:
    key = await list_ticket(tickets, quantity=3, promised=True)
    assert await delivery_of(tickets, key) == "promised"
    await add(tickets, key, pdf(["SET-0001"], ["SET-0002"]))
    assert await delivery_of(tickets, key) == "promised"
    refused = await upload(tickets, key, pdf(["SET-0003"], ["SET-0004"]))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/quantity-exceeded")
    await add(tickets, key, pdf(["SET-0003"]))
    shown = await files_of(tickets, key)
    assert (shown["delivery"], shown["seats"], shown["quantity"]) == ("instant", 3, 3)
    body = {"title": "Hamlet", "price": 10, "quantity": 2}
    edited = await tickets.ask("PUT", f"/api/tickets/{key}", by=ANN, json=body)
    assert (edited.status_code, edited.json()["type"]) == (409, "/problems/files-exceed-quantity")
    edited = await tickets.ask("PUT", f"/api/tickets/{key}", by=ANN, json={**body, "quantity": 4})
    assert edited.json()["delivery"] == "seller"


async def test_a_page_without_a_code_counts_as_one_ticket_and_is_flagged(tickets: Served) -> None:
    key = await list_ticket(tickets, quantity=2)
    file = await add(tickets, key, pdf([], []))
    assert (file["seats"], file["codeFound"]) == (2, False)
    assert await delivery_of(tickets, key) == "instant"


async def test_a_code_that_is_live_in_another_listing_is_refused_until_that_ends(tickets: Served) -> None:
    first, second = await list_ticket(tickets), await list_ticket(tickets, by=BOB)
    await add(tickets, first, pdf(["TWICE-1"]))
    for content in (pdf(["TWICE-1"], text="Another"), wallet_pass("TWICE-1"), ticket_files.image("TWICE-1")):
        refused = await upload(tickets, second, content, by=BOB)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/code-taken")
    assert (await files_of(tickets, second, by=BOB))["files"] == []
    assert await SealedFile.count() == 1
    assert (await tickets.ask("DELETE", f"/api/tickets/{first}", by=ANN)).status_code == 204
    await add(tickets, second, pdf(["TWICE-1"], text="Another"), by=BOB)
    await retention.sweep(days=30)
    assert [str(each.ticket_id) for each in await SealedFile.find_all().to_list()] == [second]


async def test_an_identical_file_without_a_code_is_refused_too(tickets: Served) -> None:
    content = pdf([], text="No code here")
    await add(tickets, await list_ticket(tickets), content)
    refused = await upload(tickets, await list_ticket(tickets, by=BOB), content, by=BOB)
    assert refused.json()["type"] == "/problems/code-taken"


async def test_the_database_contains_neither_a_code_nor_its_plain_hash(tickets: Served) -> None:
    await add(tickets, await list_ticket(tickets), pdf(["SECRET-CODE-77"]))
    for name in await tickets.database.list_collection_names():
        async for document in tickets.database[name].find({}):
            assert "SECRET-CODE-77" not in str(document)


async def test_only_the_buyer_of_a_sold_code_may_list_it_again(tickets: Served) -> None:
    content = pdf(["RESOLD-1"])
    first = await list_ticket(tickets)
    await add(tickets, first, content)
    await sell(first, BOB)
    for seller in (ANN, CARL):
        refused = await upload(tickets, await list_ticket(tickets, by=seller), content, by=seller)
        assert refused.json()["type"] == "/problems/code-taken"
    resold = await list_ticket(tickets, by=BOB)
    file = await add(tickets, resold, content, by=BOB)
    # After the buyer has removed or withdrawn it, the code is still the buyer's.
    removed = await tickets.ask("DELETE", f"/api/tickets/{resold}/files/{file['id']}", by=BOB)
    assert removed.status_code == 204
    again = await upload(tickets, await list_ticket(tickets), content)
    assert again.json()["type"] == "/problems/code-taken"
    await add(tickets, resold, content, by=BOB)
    await sell(resold, CARL)
    assert (await upload(tickets, await list_ticket(tickets, by=BOB), content, by=BOB)).status_code == 409
    await add(tickets, await list_ticket(tickets, by=CARL), content, by=CARL)


async def test_a_refund_returns_the_code_to_the_seller(tickets: Served) -> None:
    content = pdf(["REFUNDED-1"])
    key = await list_ticket(tickets)
    await add(tickets, key, content)
    order = await sell(key, BOB)
    await order.becomes("refunded")
    assert (await upload(tickets, await list_ticket(tickets, by=BOB), content, by=BOB)).status_code == 409
    await add(tickets, await list_ticket(tickets), content)


async def test_the_files_of_a_relisted_ticket_no_longer_count(tickets: Served) -> None:
    """The former buyer could read them."""
    content = pdf(["RELISTED-1"])
    key = await list_ticket(tickets)
    file = await add(tickets, key, content)
    order = await sell(key, BOB)
    await order.becomes("refunded", relisted=True)
    assert await delivery_of(tickets, key) == "seller"
    assert (await upload(tickets, await list_ticket(tickets, by=BOB), content, by=BOB)).status_code == 409
    await add(tickets, key, content)
    await sell(key, CARL, hold=2)
    assert (await read(tickets, key, file, by=CARL)).status_code == 404
    assert (await read(tickets, key, file, by=BOB)).status_code == 403


async def test_nobody_lists_a_code_that_a_refunded_buyer_has_downloaded(tickets: Served) -> None:
    """That buyer may have kept a copy, so the next one couldn't rely on it."""
    content = pdf(["DOWNLOADED-1"])
    key = await list_ticket(tickets)
    file = await add(tickets, key, content)
    order = await sell(key, BOB)
    assert (await read(tickets, key, file, by=BOB)).status_code == 200
    await order.becomes("refunded", relisted=True)
    for by, listing in (
        (ANN, key),
        (ANN, await list_ticket(tickets)),
        (BOB, await list_ticket(tickets, by=BOB)),
    ):
        answer = await upload(tickets, listing, content, by=by)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/code-taken")


@pytest.mark.parametrize(("delivery", "status"), [("seller", "reserved"), ("instant", "available")])
async def test_the_files_of_a_former_buyer_do_not_count_if_the_next_hold_overtakes_the_refund(
    tickets: Served, delivery: str, status: str
) -> None:
    key = await list_ticket(tickets)
    file = await add(tickets, key, pdf([f"OVERTAKEN-{delivery}"]))
    former = await sell(key, BOB)
    assert (await read(tickets, key, file, by=BOB)).status_code == 200
    following = Order(key, CARL, hold=2)
    await following.becomes("created", delivery=delivery)
    await former.becomes("refunded", relisted=True)
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["status"] == status
    assert await delivery_of(tickets, key) == "seller"
    await following.becomes("complete")
    assert (await read(tickets, key, file, by=CARL)).status_code in (403, 404)


async def test_a_hold_is_refused_if_the_files_that_the_buyer_saw_are_gone(tickets: Served) -> None:
    key = await list_ticket(tickets)
    await Order(key).becomes("created", delivery="instant")
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["status"] == "available"


async def test_an_upload_during_a_purchase_reaches_the_buyer(tickets: Served) -> None:
    """The file is checked before the hold, and added after the payment."""
    key = await list_ticket(tickets, promised=True)
    order = Order(key)

    async def buy() -> None:
        await order.becomes("created")
        await order.becomes("complete")

    answer, _ = await asyncio.gather(upload(tickets, key, pdf(["DURING-1"])), buy())
    assert answer.status_code == 201, answer.text
    assert await delivery_of(tickets, key) == "instant"
    assert (await read(tickets, key, answer.json(), by=BOB)).status_code == 200


@pytest.mark.parametrize(("delivery", "status"), [("promised", 409), ("seller", 201)])
async def test_promised_files_cannot_be_uploaded_after_their_deadline(
    tickets: Served, delivery: str, status: int
) -> None:
    """The buyer gets the money back then. A ticket that is handed over has no such deadline."""
    key = await list_ticket(tickets, promised=delivery == "promised")
    order = Order(key)
    await order.becomes("created", delivery=delivery)
    await order.becomes("complete", delivery=delivery, deliver_by=now() - timedelta(seconds=1))
    assert (await files_of(tickets, key))["canUpload"] is (status == 201)
    assert (await upload(tickets, key, pdf([f"LATE-{delivery}"]))).status_code == status


async def test_files_of_a_reserved_ticket_can_be_added_but_not_removed(tickets: Served) -> None:
    key = await list_ticket(tickets, quantity=2)
    file = await add(tickets, key, pdf(["HELD-0001"]))
    order = Order(key)
    await order.becomes("created")
    await add(tickets, key, pdf(["HELD-0002"]))
    removal = await tickets.ask("DELETE", f"/api/tickets/{key}/files/{file['id']}", by=ANN)
    assert messages(removal, 409) == ["Files can't be removed while somebody is paying"]
    await order.becomes("complete")
    refused = await upload(tickets, key, pdf(["HELD-0003"]))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/files-final")
    removal = await tickets.ask("DELETE", f"/api/tickets/{key}/files/{file['id']}", by=ANN)
    assert messages(removal, 409) == ["Files of a sold ticket can't be removed"]


@pytest.mark.parametrize("status", ["withdrawn", "refunded"])
async def test_nothing_is_added_to_a_withdrawn_or_refunded_ticket(tickets: Served, status: str) -> None:
    key = await list_ticket(tickets)
    if status == "withdrawn":
        await tickets.ask("DELETE", f"/api/tickets/{key}", by=ANN)
    else:
        await (await sell(key)).becomes("refunded")
    assert (await upload(tickets, key, pdf(["LATE-0001"]))).status_code == 409


async def test_only_the_seller_adds_and_removes_files(tickets: Served) -> None:
    key = await list_ticket(tickets)
    file = await add(tickets, key, pdf(["MINE-0001"]))
    assert (await upload(tickets, key, pdf(["MINE-0002"]), by=BOB)).status_code == 403
    assert (await upload(tickets, key, pdf(["MINE-0002"]), by=None)).status_code == 401
    path = f"/api/tickets/{key}/files/{file['id']}"
    assert (await tickets.ask("DELETE", path, by=BOB)).status_code == 403
    for _ in range(2):
        assert (await tickets.ask("DELETE", path, by=ANN)).status_code == 204
    assert (await tickets.ask("DELETE", f"/api/tickets/{key}/files/none", by=ANN)).status_code == 404
    assert await delivery_of(tickets, key) == "seller"
    assert await SealedFile.count() == await FileChunk.count() == await CodeClaim.count() == 0


async def racing_uploads(tickets: Served, vault: Vault, content: bytes) -> list[str]:
    """Two sellers add the same file at the same time. Which of their tickets have it afterwards."""
    keys = [await list_ticket(tickets, by=seller) for seller in (ANN, BOB)]
    inspected = Inspected("pdf", 1, ["RACE-0001"])
    await asyncio.gather(
        *(
            actions.add(vault, key, seller, inspected, content)
            for key, seller in zip(keys, (ANN, BOB), strict=True)
        ),
        return_exceptions=True,
    )
    return [key for key in keys if (found := await Ticket.get(key)) is not None and found.files]


async def test_of_two_concurrent_uploads_of_the_same_file_one_wins(tickets: Served) -> None:
    vault: Vault = tickets.app.state.vault
    for number in range(5):
        assert len(await racing_uploads(tickets, vault, b"content %d" % number)) <= 1
    assert await Ticket.find({"files": {"$ne": []}}).count() == 1
    assert await SealedFile.count() == 1


async def test_control_without_the_unique_index_both_uploads_win(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tickets.database["code_claims"].drop_index("one_live_claim_a_code")
    both_have_looked = asyncio.Barrier(2)
    collection = CodeClaim.get_pymongo_collection()
    find_one = type(collection).find_one

    async def find_together(self: Any, *which: Any, **options: Any) -> Any:
        found = await find_one(self, *which, **options)
        if self.name == "code_claims":
            await both_have_looked.wait()
        return found

    monkeypatch.setattr(type(collection), "find_one", find_together)
    assert len(await racing_uploads(tickets, tickets.app.state.vault, b"content")) == 2


async def test_an_interrupted_upload_leaves_nothing_after_a_while(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await list_ticket(tickets)

    async def stop(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as stopping:
        stopping.setattr(claims, "claim", stop)
        with pytest.raises(asyncio.CancelledError):
            await actions.add(tickets.app.state.vault, key, ANN, Inspected("pdf", 1, ["X-00001"]), b"content")
    assert (await SealedFile.count(), await FileChunk.count()) == (1, 1)
    await retention.sweep(days=30)
    assert await SealedFile.count() == 1
    await pass_time(rules.GRACE)
    await retention.sweep(days=30)
    assert await SealedFile.count() == await FileChunk.count() == 0


@pytest.mark.parametrize(
    "damage",
    [{"status": "unheard-of"}, {"starts_at": datetime(9999, 12, 31, 23, tzinfo=UTC)}],
    ids=["of-another-version", "end-of-time"],
)
async def test_a_file_that_cannot_be_judged_does_not_keep_others_from_being_deleted(
    tickets: Served, damage: dict[str, Any]
) -> None:
    odd, other = await list_ticket(tickets), await list_ticket(tickets)
    await add(tickets, odd, pdf(["JUDGED-1"]))
    file = await add(tickets, other, pdf(["JUDGED-2"]))
    await Ticket.get_pymongo_collection().update_one({"_id": ObjectId(odd)}, {"$set": damage})
    await Ticket.get_pymongo_collection().update_one({"_id": ObjectId(other)}, {"$set": {"files": []}})
    await pass_time(rules.GRACE)
    await retention.sweep(days=30)
    assert [left.ticket_id for left in await SealedFile.find_all().to_list()] == [ObjectId(odd)]
    assert await CodeClaim.find({"file_id": file["id"]}).count() == 0


async def pass_time(by: timedelta) -> None:
    """Let files be looked at as if this time had passed."""
    async for file in SealedFile.get_pymongo_collection().find({}):
        change = {"$set": {"check_at": file["check_at"] - by}}
        await SealedFile.get_pymongo_collection().update_one({"_id": file["_id"]}, change)


async def test_an_access_is_on_record_until_some_days_after_the_event(tickets: Served) -> None:
    """A ticket is downloaded months before the event, and the payment disputed after it."""
    starts_at = now() + timedelta(days=90)
    key = await list_ticket(tickets, startsAt=starts_at.isoformat())
    file = await add(tickets, key, pdf(["EARLY-0001"]))
    await sell(key)
    await read(tickets, key, file, by=BOB)
    await FileAccess.get_pymongo_collection().update_one({}, {"$set": {"at": now() - timedelta(days=40)}})
    await retention.sweep(days=30)
    [access] = await FileAccess.find_all().to_list()
    assert abs(access.expires_at - starts_at - timedelta(days=30)) < timedelta(seconds=1)


async def test_files_are_deleted_some_days_after_the_event_with_their_claims_and_accesses(
    tickets: Served,
) -> None:
    starts_at = now() + timedelta(days=1)
    key = await list_ticket(tickets, startsAt=starts_at.isoformat())
    file = await add(tickets, key, pdf(["OLD-00001"]))
    await sell(key)
    await read(tickets, key, file, by=BOB)
    await pass_time(timedelta(days=40))
    await retention.sweep(days=30)
    assert await SealedFile.count() == 1
    past = {"starts_at": now() - timedelta(days=31)}
    await Ticket.get_pymongo_collection().update_one({}, {"$set": past})
    await FileAccess.get_pymongo_collection().update_one({}, {"$set": {"expires_at": now()}})
    await pass_time(timedelta(days=60))
    await retention.sweep(days=30)
    assert await SealedFile.count() == await FileChunk.count() == await FileAccess.count() == 0
    assert (await read(tickets, key, file, by=BOB)).status_code == 404
    await CodeClaim.get_pymongo_collection().update_many({}, {"$set": {"expires_at": now()}})
    await retention.sweep(days=30)
    assert await CodeClaim.count() == 0


async def test_the_files_of_a_seller_who_leaves_are_deleted(tickets: Served) -> None:
    key = await list_ticket(tickets)
    await add(tickets, key, pdf(["LEAVING-1"]))
    ticket = await Ticket.get(key)
    assert ticket is not None
    assert ticket.id is not None
    await leaving.take_off_sale(ticket.id)
    await retention.sweep(days=30)
    assert await SealedFile.count() == await FileChunk.count() == await CodeClaim.count() == 0


async def test_a_lost_key_is_reported_and_nothing_is_overwritten(
    settings_with: SettingsWith, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving("tickets", settings_with(ticket_file_key=KEY)) as tickets:
        key = await list_ticket(tickets)
        file = await add(tickets, key, pdf(["LOST-0001"]))
        await sell(key)
        stored = await SealedFile.find_all().to_list(), await FileKey.find_all().to_list()
    async with serving("tickets", settings_with(ticket_file_key=OTHER_KEY), fresh=False) as tickets:
        await tickets.app.state.vault.check()
        assert "TICKET_FILE_KEY isn't the key of the stored files" in caplog.text
        answer = await read(tickets, key, file, by=BOB)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/file-key-lost")
        answer = await upload(tickets, await list_ticket(tickets), pdf(["LOST-0002"]))
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/file-key-lost")
        assert (await SealedFile.find_all().to_list(), await FileKey.find_all().to_list()) == stored
    async with serving("tickets", settings_with(ticket_file_key=KEY), fresh=False) as tickets:
        assert (await read(tickets, key, file, by=BOB)).status_code == 200


async def test_after_a_rotation_files_are_readable_and_codes_are_still_claimed(
    settings_with: SettingsWith,
) -> None:
    content = pdf(["ROTATED-1"])
    async with serving("tickets", settings_with(ticket_file_key=KEY)) as tickets:
        key = await list_ticket(tickets)
        file = await add(tickets, key, content)
        await sell(key)
    both = settings_with(ticket_file_key=OTHER_KEY, previous_ticket_file_key=KEY)
    async with serving("tickets", both, fresh=False) as tickets:
        assert (await read(tickets, key, file, by=BOB)).status_code == 200
        await tickets.app.state.vault.check()
        assert {each.key_id for each in await SealedFile.find_all().to_list()} == {
            Keys([OTHER_KEY]).current_id
        }
    async with serving("tickets", settings_with(ticket_file_key=OTHER_KEY), fresh=False) as tickets:
        assert (await read(tickets, key, file, by=BOB)).content == content
        refused = await upload(tickets, await list_ticket(tickets, by=CARL), content, by=CARL)
        assert refused.json()["type"] == "/problems/code-taken"


async def test_the_list_shows_only_instant_tickets_if_asked(tickets: Served) -> None:
    key, _ = await list_ticket(tickets, category="music"), await list_ticket(tickets, category="music")
    await add(tickets, key, pdf(["INSTANT-1"]))
    for query in ("delivery=instant", "delivery=instant&minPrice=1", "delivery=instant&category=music"):
        answer = await tickets.ask("GET", f"/api/tickets?{query}")
        assert [ticket["id"] for ticket in answer.json()] == [key]
        assert answer.headers["x-total-count"] == "1"
        facets = await tickets.ask("GET", f"/api/tickets/facets?{query}")
        assert (facets.json()["total"], facets.json()["categories"][0]["count"]) == (1, 1)
    assert (await tickets.ask("GET", "/api/tickets?delivery=other")).status_code == 400


SEAT = {
    "venue": "Globe",
    "startsAt": (now() + timedelta(days=9)).isoformat(),
    "seat": "Row 4, seat 7",
}


async def test_a_seller_lists_a_seat_once_while_it_is_on_sale(tickets: Served) -> None:
    key = await list_ticket(tickets, **SEAT)
    body = {"title": "HAMLET", "price": 12, **SEAT, "seat": "row 4 seat 7"}
    for query in ("", "?confirmed=true"):
        again = await tickets.ask("POST", f"/api/tickets{query}", by=ANN, json=body)
        assert (again.status_code, again.json()["type"]) == (409, "/problems/seat-listed")
    other = await list_ticket(tickets, **{**SEAT, "seat": "Row 4, seat 8"})
    moved = await tickets.ask("PUT", f"/api/tickets/{other}", by=ANN, json=body)
    assert (moved.status_code, moved.json()["type"]) == (409, "/problems/seat-listed")
    await tickets.ask("DELETE", f"/api/tickets/{key}", by=ANN)
    await list_ticket(tickets, **SEAT)


async def test_the_seat_of_a_relisted_ticket_isnt_listed_a_second_time(tickets: Served) -> None:
    """The index doesn't have a ticket that was sold before."""
    key = await list_ticket(tickets, **SEAT)
    await (await sell(key, BOB)).becomes("refunded", relisted=True)
    body = {"title": "Hamlet", "price": 12, **SEAT}
    for query in ("", "?confirmed=true"):
        again = await tickets.ask("POST", f"/api/tickets{query}", by=ANN, json=body)
        assert (again.status_code, again.json()["type"]) == (409, "/problems/seat-listed")
    await tickets.ask("DELETE", f"/api/tickets/{key}", by=ANN)
    await list_ticket(tickets, **SEAT)


async def test_a_seat_of_another_listing_is_questioned(tickets: Served) -> None:
    key = await list_ticket(tickets, **SEAT)
    body = {"title": "Hamlet", "price": 12, **SEAT}
    asked = await tickets.ask("POST", "/api/tickets", by=BOB, json=body)
    assert (asked.status_code, asked.json()["type"]) == (409, "/problems/same-seat")
    confirmed = await tickets.ask("POST", "/api/tickets?confirmed=true", by=BOB, json=body)
    assert confirmed.status_code == 201
    await tickets.ask("DELETE", f"/api/tickets/{confirmed.json()['id']}", by=BOB)
    await sell(key, CARL)
    assert (await tickets.ask("POST", "/api/tickets", by=ANN, json=body)).status_code == 409
    assert (await tickets.ask("POST", "/api/tickets", by=CARL, json=body)).status_code == 201


async def test_areas_without_a_number_are_listed_as_often_as_wanted(tickets: Served) -> None:
    for _ in range(2):
        await list_ticket(tickets, **{**SEAT, "seat": "Standing"})

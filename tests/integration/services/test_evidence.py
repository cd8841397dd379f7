"""Photos of reported problems: what is accepted, who reads them, and how long they are kept."""

import asyncio
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from PIL import Image

from contracts.events import UserUpdated
from contracts.tickets import MAX_FILE_BYTES
from contracts.wire import now
from kit.sealing import Keys
from kit.secrets import operator_token
from services.orders import actions as orders_actions
from services.orders import leaving
from services.orders.documents import Order
from services.orders.evidence import actions, storing
from services.orders.evidence.documents import PhotoChunk, SealedPhoto
from tests.integration.services.test_problems import answer, buy, decide, report, shown
from tests.support.events import SELLER
from tests.support.service import Served, SettingsWith, messages, new_id, serving

DAYS = 30.0
KEY, OTHER_KEY = "k" * 40, "o" * 40


def photo(color: str = "red", kind: str = "JPEG", size: tuple[int, int] = (120, 80), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind, **options)
    return file.getvalue()


async def upload(orders: Served, order: dict[str, Any], content: bytes, by: str | None = None) -> Any:
    path = f"/api/orders/{order['id']}/problem/photos"
    return await orders.ask("POST", path, by=by or order["userId"], content=content)


async def add(orders: Served, order: dict[str, Any], content: bytes, by: str | None = None) -> dict[str, Any]:
    answered = await upload(orders, order, content, by)
    assert answered.status_code == 201, answered.text
    added: dict[str, Any] = answered.json()
    return added


async def read(
    orders: Served, order: dict[str, Any], added: dict[str, Any], by: str | None
) -> httpx.Response:
    return await orders.ask("GET", f"/api/orders/{order['id']}/problem/photos/{added['id']}", by=by)


async def read_as_operator(
    orders: Served, order: dict[str, Any], added: dict[str, Any], token: str | None = None
) -> httpx.Response:
    given = operator_token(orders.app.state.settings) if token is None else token
    path = f"/api/orders/problems/{order['id']}/photos/{added['id']}"
    return await orders.ask("GET", path, headers={"Authorization": f"Bearer {given}"})


async def seen_by_seller(orders: Served, order: dict[str, Any]) -> Sequence[str]:
    [sale] = (await orders.ask("GET", f"/api/orders/sales?orderId={order['id']}", by=SELLER)).json()
    return [each["id"] for each in sale["photos"]]


async def seen_by_buyer(orders: Served, order: dict[str, Any]) -> Sequence[str]:
    return [each["id"] for each in (await shown(orders, order))["photos"]]


async def look_now() -> None:
    """Let the sweep look at all photos."""
    await SealedPhoto.get_pymongo_collection().update_many({}, {"$set": {"check_at": now()}})
    await storing.sweep(Keys([KEY]), DAYS)


async def stored() -> tuple[int, int]:
    return await SealedPhoto.count(), await PhotoChunk.count()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_both_sides_and_operators_read_a_photo_of_a_report_as_a_jpeg(orders: Served, kind: str) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo(kind=kind))
    assert added["by"] == "buyer"
    await report(orders, order)
    for answered in (
        await read(orders, order, added, order["userId"]),
        await read(orders, order, added, SELLER),
        await read_as_operator(orders, order, added),
    ):
        assert answered.status_code == 200
        assert answered.headers["Content-Type"] == "image/jpeg"
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert answered.headers["Cache-Control"] == "no-store"
        assert "sandbox" in answered.headers["Content-Security-Policy"]
        image = Image.open(io.BytesIO(answered.content))
        assert (image.format, image.size) == ("JPEG", (120, 80))
        assert len(answered.content) == added["size"]


async def test_a_photo_keeps_neither_its_metadata_nor_its_orientation(orders: Served) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera that somebody could be found by"
    order = await buy(orders)
    added = await add(orders, order, photo(exif=exif))
    content = (await read(orders, order, added, order["userId"])).content
    image = Image.open(io.BytesIO(content))
    assert (image.size, dict(image.getexif())) == ((80, 120), {})
    assert b"camera" not in content


async def test_a_large_photo_is_reduced(orders: Served) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo(size=(4000, 1000)))
    content = (await read(orders, order, added, order["userId"])).content
    assert Image.open(io.BytesIO(content)).size == (2000, 500)


async def test_a_stored_photo_is_encrypted(orders: Served) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo())
    content = (await read(orders, order, added, order["userId"])).content
    chunks = b"".join(bytes(chunk.data) for chunk in await PhotoChunk.find_all().to_list())
    assert content[100:140] not in chunks
    assert photo()[:16] not in chunks


@pytest.mark.parametrize(
    ("content", "status", "problem"),
    [
        (b"%PDF-1.7 no picture", 415, "not-a-picture"),
        (b"", 415, "not-a-picture"),
        (photo()[:200], 400, "unreadable-picture"),
        (photo(size=(8, 8)), 400, "picture-too-small"),
        (b"0" * (MAX_FILE_BYTES + 1), 413, None),
    ],
)
async def test_what_isnt_a_photo_is_refused_and_not_stored(
    orders: Served, content: bytes, status: int, problem: str | None
) -> None:
    order = await buy(orders)
    answered = await upload(orders, order, content)
    assert answered.status_code == status
    if problem is not None:
        assert answered.json()["type"] == f"/problems/{problem}"
    assert await stored() == (0, 0)


async def test_each_side_adds_at_most_three_photos(orders: Served) -> None:
    order = await buy(orders)
    for color in ("red", "green", "blue"):
        await add(orders, order, photo(color))
    refused = await upload(orders, order, photo("black"))
    assert messages(refused, 409) == ["You can send at most 3 photos"]
    await report(orders, order)
    await add(orders, order, photo("black"), by=SELLER)
    assert (len(await seen_by_seller(orders, order)), await SealedPhoto.count()) == (4, 4)


async def test_a_repeated_upload_adds_nothing(orders: Served) -> None:
    order = await buy(orders)
    ids = {(await add(orders, order, photo()))["id"] for _ in range(3)}
    assert await seen_by_buyer(orders, order) == list(ids)
    assert (len(ids), await SealedPhoto.count()) == (1, 1)


async def test_the_other_side_sees_photos_only_after_they_were_sent(orders: Served) -> None:
    order = await buy(orders)
    of_buyer = await add(orders, order, photo())
    assert await seen_by_seller(orders, order) == []
    assert (await read(orders, order, of_buyer, SELLER)).status_code == 404
    assert (await read_as_operator(orders, order, of_buyer)).status_code == 404
    await report(orders, order)
    assert await seen_by_seller(orders, order) == [of_buyer["id"]]
    of_seller = await add(orders, order, photo("blue"), by=SELLER)
    assert await seen_by_buyer(orders, order) == [of_buyer["id"]]
    assert (await read(orders, order, of_seller, order["userId"])).status_code == 404
    await answer(orders, order)
    assert await seen_by_buyer(orders, order) == [of_buyer["id"], of_seller["id"]]
    assert (await read(orders, order, of_seller, order["userId"])).status_code == 200


async def test_photos_are_final_with_the_report_and_the_answer(orders: Served) -> None:
    order = await buy(orders)
    before = await upload(orders, order, photo(), by=SELLER)
    assert before.json()["type"] == "/problems/nothing-to-answer"
    added = await add(orders, order, photo())
    await report(orders, order)
    path = f"/api/orders/{order['id']}/problem/photos/{added['id']}"
    for refused in (
        await upload(orders, order, photo("blue")),
        await orders.ask("DELETE", path, by=order["userId"]),
    ):
        assert refused.json()["type"] == "/problems/photos-final"
    await answer(orders, order)
    assert (await upload(orders, order, photo(), by=SELLER)).json()["type"] == "/problems/photos-final"


async def test_a_photo_can_be_removed_before_it_is_sent(orders: Served) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo())
    path = f"/api/orders/{order['id']}/problem/photos/{added['id']}"
    assert (await orders.ask("DELETE", path, by=SELLER)).status_code == 409
    for _ in range(2):
        assert (await orders.ask("DELETE", path, by=order["userId"])).status_code == 204
    assert await seen_by_buyer(orders, order) == []
    assert await stored() == (0, 0)


async def test_nobody_else_reads_or_adds_photos(orders: Served) -> None:
    order, other = await buy(orders), await buy(orders)
    added = await add(orders, order, photo())
    await report(orders, order)
    await report(orders, other)
    assert (await read(orders, order, added, new_id())).status_code == 403
    assert (await read(orders, order, added, None)).status_code == 401
    assert (await read_as_operator(orders, order, added, token="x" * 40)).status_code == 401
    assert (await upload(orders, order, photo(), by=new_id())).status_code == 403
    # The seller of both orders doesn't get a photo through the other order.
    assert (await read(orders, other, added, SELLER)).status_code == 404
    assert (await read_as_operator(orders, other, added)).status_code == 404


async def test_photos_arent_published(orders: Served) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo())
    await report(orders, order)
    assert added["id"] not in str(await orders.outbox("orders", order["id"]))


async def racing_photos(orders: Served, order: dict[str, Any]) -> int:
    """Four photos are added at the same time. How many the order has afterwards."""
    keys: Keys = orders.app.state.photo_keys
    await asyncio.gather(
        *(actions.add(keys, order["id"], order["userId"], b"%d" % number, b"copy") for number in range(4)),
        return_exceptions=True,
    )
    return len(await seen_by_buyer(orders, order))


async def test_of_four_concurrent_photos_three_are_added(orders: Served) -> None:
    order = await buy(orders)
    assert await racing_photos(orders, order) == 3
    assert await stored() == (3, 3)


async def test_control_without_the_guarded_write_there_would_be_four(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await buy(orders)

    async def unguarded(self: Order, changes: Any) -> Order:
        [added] = [each.model_dump() for each in changes["photos"] if each not in self.photos]
        await self.get_pymongo_collection().update_one({"_id": self.id}, {"$push": {"photos": added}})
        return self.model_copy(update=dict(changes))

    monkeypatch.setattr(Order, "write", unguarded)
    assert await racing_photos(orders, order) == 4


async def test_a_photo_is_kept_while_the_problem_is_open_and_some_time_after_the_decision(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo())
    await report(orders, order)
    await answer(orders, order)
    await look_now()
    await decide(orders, order, "reject")
    await look_now()
    assert await stored() == (1, 1)
    later = now() + timedelta(days=DAYS, minutes=1)
    monkeypatch.setattr(storing, "now", lambda: later)
    await storing.sweep(Keys([KEY]), DAYS)
    assert await stored() == (0, 0)
    assert await seen_by_buyer(orders, order) == []
    assert (await read(orders, order, added, order["userId"])).status_code == 404


async def test_a_photo_that_was_never_sent_is_deleted_after_the_time_to_report(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await buy(orders, starts_at=now() + timedelta(hours=1))
    await add(orders, order, photo())
    await look_now()
    assert await stored() == (1, 1)
    monkeypatch.setattr(storing, "now", lambda: now() + timedelta(hours=50))
    await storing.sweep(Keys([KEY]), DAYS)
    assert await stored() == (0, 0)
    assert await seen_by_buyer(orders, order) == []


async def test_an_interrupted_upload_is_deleted(orders: Served) -> None:
    order = await buy(orders)
    keys: Keys = orders.app.state.photo_keys
    await storing.store(keys, storing.new_photo_id(), ObjectId(order["id"]), order["userId"], b"copy")
    await storing.sweep(keys, DAYS)
    assert await stored() == (1, 1)
    await look_now()
    assert await stored() == (0, 0)


async def test_a_deleted_users_photos_are_deleted_once_nothing_about_them_is_open(orders: Served) -> None:
    order, unsent = await buy(orders), await buy(orders)
    await add(orders, order, photo())
    await add(orders, unsent, photo())
    await report(orders, order)
    for user in (order["userId"], unsent["userId"]):
        await leaving.follow_user(UserUpdated(id=user, version=1, deleted=True))
    await storing.sweep(Keys([KEY]), DAYS)
    assert await stored() == (1, 1)
    await answer(orders, order)
    await orders_actions.decide_problem(order["id"], "reject", amount=None, reason="No")
    await look_now()
    assert await stored() == (0, 0)


async def test_the_export_lists_photos(orders: Served) -> None:
    order = await buy(orders)
    added = await add(orders, order, photo())
    part = await leaving.page_of_data(order["userId"], None, timedelta(minutes=15))
    assert [each.id for each in part.entries[0].photos] == [added["id"]]
    await report(orders, order)
    answered = await add(orders, order, photo("blue"), by=SELLER)
    for user, own in ((order["userId"], added), (SELLER, answered)):
        exported = (await storing.exported(user)).entries
        assert [(each.id, each.order_id, each.size) for each in exported] == [
            (own["id"], order["id"], own["size"])
        ]


async def test_after_a_rotation_of_the_key_photos_are_readable(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(ticket_file_key=KEY)) as orders:
        order = await buy(orders)
        added = await add(orders, order, photo())
    both = settings_with(ticket_file_key=OTHER_KEY, previous_ticket_file_key=KEY)
    async with serving("orders", both, fresh=False) as orders:
        await storing.sweep(orders.app.state.photo_keys, DAYS)
    async with serving("orders", settings_with(ticket_file_key=OTHER_KEY), fresh=False) as orders:
        assert (await read(orders, order, added, order["userId"])).status_code == 200
    async with serving("orders", settings_with(ticket_file_key=KEY), fresh=False) as orders:
        lost = await read(orders, order, added, order["userId"])
        assert (lost.status_code, lost.json()["type"]) == (503, "/problems/file-key-lost")
        assert await stored() == (1, 1)

"""Pictures of tickets: accepted uploads, stored sizes, and the removal of unused pictures."""

import asyncio
import io
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from PIL import Image, PngImagePlugin

from contracts.api import TicketBody
from contracts.events import OrderCreated, OrderedTicket
from contracts.tickets import MAX_PICTURE_BYTES
from contracts.wire import now
from kit.images.header import Limits
from kit.images.rendering import render
from kit.images.results import Rendered
from services.tickets import actions, pictures
from services.tickets.documents import Picture
from tests.support.crafted_pictures import png
from tests.support.service import Served, SettingsWith, messages, new_id, old_id, serving

ANN, BOB = new_id(), new_id()


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (1600, 1200), color: str = "red", **options: Any
) -> bytes:
    """An encoded image of a single color."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind, **options)
    return file.getvalue()


def two_colored_picture(kind: str = "PNG", **options: Any) -> bytes:
    """An encoded image whose left half is red and whose right half is blue."""
    file = io.BytesIO()
    image = Image.new("RGB", (320, 180), "red")
    image.paste((0, 0, 255), (160, 0, 320, 180))
    image.save(file, kind, **options)
    return file.getvalue()


async def list_ticket(tickets: Served, *, by: str = ANN) -> str:
    answer = await tickets.ask("POST", "/api/tickets", by=by, json={"title": "Hamlet", "price": 10})
    assert answer.status_code == 201
    return str(answer.json()["id"])


async def upload(tickets: Served, key: str, content: bytes, *, by: str | None = ANN) -> httpx.Response:
    return await tickets.ask("PUT", f"/api/tickets/{key}/picture", by=by, content=content)


async def attach(tickets: Served, key: str, content: bytes) -> dict[str, Any]:
    answer = await upload(tickets, key, content)
    assert answer.status_code == 200, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def fetch_picture(tickets: Served, name: str, size: str = "large") -> Image.Image:
    answer = await tickets.ask("GET", f"/api/tickets/pictures/{name}/{size}")
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


def color_at(image: Image.Image, x: float, y: float) -> str:
    pixel = image.convert("RGB").getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(pixel, tuple)
    red, green, blue = (value > 127 for value in pixel)
    return {(True, False, False): "red", (False, False, True): "blue", (True, True, True): "white"}[
        red, green, blue
    ]


async def stored_names() -> set[str]:
    return {found["_id"] async for found in Picture.get_pymongo_collection().find({}, {"_id": 1})}


async def reserve(key: str) -> None:
    order = OrderedTicket(id=key, title="Hamlet", price="10")  # type: ignore[arg-type]
    await actions.follow_order(
        OrderCreated(
            id=new_id(), version=0, status="created", user_id=BOB, expires_at=now(), hold=1, ticket=order
        )
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_picture_is_converted_to_two_webp_sizes_with_the_same_aspect_ratio(
    tickets: Served, kind: str
) -> None:
    key = await list_ticket(tickets)
    ticket = await attach(tickets, key, picture(kind))
    assert (ticket["version"], len(ticket["picture"])) == (1, 64)
    assert (await tickets.ask("GET", "/api/tickets")).json() == [ticket]
    for size, dimensions in {"small": (480, 270), "large": (1280, 720)}.items():
        shown = await fetch_picture(tickets, ticket["picture"], size)
        assert (shown.format, shown.size) == ("WEBP", dimensions)
        assert color_at(shown, 0.5, 0.5) == "red"


async def test_uploads_are_limited_per_user(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(rate_upload=2)) as tickets:
        key, key_of_bob = await list_ticket(tickets), await list_ticket(tickets, by=BOB)
        await attach(tickets, key, picture())
        assert (await upload(tickets, key, b"no picture")).status_code == 415
        refused = await upload(tickets, key, picture(color="blue"))
        assert messages(refused, 429) == ["Too many requests. Try again in a moment"]
        assert int(refused.headers["retry-after"]) > 0
        assert (await upload(tickets, key_of_bob, picture(), by=BOB)).status_code == 200
        assert (await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN)).status_code == 204


async def test_adding_and_removing_a_picture_publishes_updates_of_the_ticket(tickets: Served) -> None:
    key = await list_ticket(tickets)
    ticket = await attach(tickets, key, picture())
    await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN)
    events = await tickets.outbox("tickets", key)
    assert [(subject, body["picture"]) for subject, body in events] == [
        ("ticket.created", None),
        ("ticket.updated", ticket["picture"]),
        ("ticket.updated", None),
    ]


async def test_browsers_may_cache_a_picture_forever_and_revalidate_it_by_etag(tickets: Served) -> None:
    name = (await attach(tickets, await list_ticket(tickets), picture()))["picture"]
    path = f"/api/tickets/pictures/{name}/small"
    first = await tickets.ask("GET", path)
    assert first.headers["content-type"] == "image/webp"
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await tickets.ask("GET", path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert (await tickets.ask("GET", path, headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await tickets.ask("GET", path.replace("small", "large"))).headers["etag"] != etag


@pytest.mark.parametrize("path", [f"{'0' * 64}/small", "x/large", "%22/small", "$ne/small"])
async def test_an_unknown_picture_is_not_found(tickets: Served, path: str) -> None:
    answer = await tickets.ask("GET", f"/api/tickets/pictures/{path}", headers={"If-None-Match": "*"})
    assert messages(answer, 404) == ["Not found"]
    assert "etag" not in answer.headers


async def test_a_size_other_than_small_or_large_is_not_found(tickets: Served) -> None:
    name = (await attach(tickets, await list_ticket(tickets), picture()))["picture"]
    for size in ("medium", "unreferenced_since", "_id"):
        answer = await tickets.ask("GET", f"/api/tickets/pictures/{name}/{size}")
        assert messages(answer, 404) == ["Not found"]


async def test_a_picture_is_rotated_according_to_its_exif_orientation(tickets: Served) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # rotated by 180 degrees
    ticket = await attach(
        tickets, await list_ticket(tickets), two_colored_picture("JPEG", exif=exif, quality=95)
    )
    shown = await fetch_picture(tickets, ticket["picture"])
    assert (color_at(shown, 0.1, 0.5), color_at(shown, 0.9, 0.5)) == ("blue", "red")
    exif[0x0112] = 6  # rotated by 90 degrees
    ticket = await attach(
        tickets, await list_ticket(tickets), two_colored_picture("JPEG", exif=exif, quality=95)
    )
    shown = await fetch_picture(tickets, ticket["picture"])
    assert (color_at(shown, 0.5, 0.05), color_at(shown, 0.5, 0.95)) == ("red", "blue")


async def test_all_metadata_is_removed_from_pictures(tickets: Served) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "taken at home")
    contents = [
        picture("JPEG", exif=exif, comment=b"taken at home", icc_profile=b"taken at home"),
        picture("PNG", exif=exif, pnginfo=text),
        picture("WEBP", exif=exif, xmp=b"taken at home"),
        picture("JPEG") + b"taken at home",
    ]
    for content in contents:
        name = (await attach(tickets, await list_ticket(tickets), content))["picture"]
        for size in ("small", "large"):
            shown = await fetch_picture(tickets, name, size)
            shown.load()
            assert not dict(shown.getexif())
            assert not {"exif", "xmp", "icc_profile", "comment", "Comment"} & shown.info.keys()
            answer = await tickets.ask("GET", f"/api/tickets/pictures/{name}/{size}")
            assert b"taken at home" not in answer.content


async def test_transparent_pixels_become_white(tickets: Served) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (320, 180), (255, 0, 0, 0)).save(file, "PNG")
    name = (await attach(tickets, await list_ticket(tickets), file.getvalue()))["picture"]
    assert color_at(await fetch_picture(tickets, name), 0.5, 0.5) == "white"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "RGBA"])
async def test_every_pixel_format_is_accepted(tickets: Served, mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (320, 180)).save(file, "PNG")
    assert (await upload(tickets, await list_ticket(tickets), file.getvalue())).status_code == 200


async def test_only_the_first_frame_of_an_animation_is_kept(tickets: Served) -> None:
    file = io.BytesIO()
    first, second = (Image.new("RGB", (320, 180), color) for color in ("red", "blue"))
    first.save(file, "WEBP", save_all=True, append_images=[second], lossless=True)
    name = (await attach(tickets, await list_ticket(tickets), file.getvalue()))["picture"]
    shown = await fetch_picture(tickets, name)
    assert (getattr(shown, "n_frames", 1), color_at(shown, 0.5, 0.5)) == (1, "red")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"GIF89a" + bytes(100),
        b"%PDF-1.7",
        b"<html>",
        *(picture(kind, size=(160, 90)) for kind in ("GIF", "BMP", "TIFF")),
        b"RIFF" + bytes(4) + b"WAVE",
    ],
    ids=lambda content: content[:8].decode("latin-1"),
)
async def test_a_file_that_is_not_a_jpeg_png_or_webp_is_refused(tickets: Served, content: bytes) -> None:
    answer = await tickets.ask(
        "PUT",
        f"/api/tickets/{await list_ticket(tickets)}/picture",
        by=ANN,
        content=content,
        headers={"Content-Type": "image/png"},
    )
    assert messages(answer, 415) == ["The picture must be a JPEG, PNG or WebP"]
    assert await stored_names() == set()


@pytest.mark.parametrize(
    "content",
    [
        picture()[:5000],
        picture("PNG")[:300],
        picture("WEBP")[:60],
        b"\xff\xd8\xff" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x00\x00\x00\x00WEBP" + bytes(100),
        png(640, 480),
        png(640, 480, (b"IDAT", b"no zlib")),
        # The text chunk is a decompression bomb.
        png(640, 480, (b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000)))),
    ],
    ids=[
        "truncated JPEG",
        "truncated PNG",
        "truncated WebP",
        "JPEG of zeros",
        "PNG of zeros",
        "WebP of zeros",
        "PNG without data",
        "PNG with invalid data",
        "decompression bomb",
    ],
)
async def test_a_file_that_cannot_be_decoded_is_refused(tickets: Served, content: bytes) -> None:
    answer = await upload(tickets, await list_ticket(tickets), content)
    assert messages(answer, 400) == ["The picture can't be read. Try another one"]
    assert await stored_names() == set()


@pytest.mark.parametrize("size", [(50_000, 50_000), (30_001, 1000), (0x7FFFFFFF, 0x7FFFFFFF)])
async def test_a_picture_with_too_many_pixels_is_refused(tickets: Served, size: tuple[int, int]) -> None:
    content = png(*size, (b"IDAT", zlib.compress(bytes(1000))))
    answer = await upload(tickets, await list_ticket(tickets), content)
    assert messages(answer, 400) == ["The picture must have at most 30 million pixels"]


async def test_a_picture_lower_than_16_pixels_is_refused(tickets: Served) -> None:
    answer = await upload(tickets, await list_ticket(tickets), picture(size=(200, 15)))
    assert messages(answer, 400) == ["The picture must be at least 16 pixels wide and high"]


async def test_a_picture_may_have_at_most_5_megabytes(tickets: Served) -> None:
    key = await list_ticket(tickets)
    content = picture() + bytes(MAX_PICTURE_BYTES)
    assert (await upload(tickets, key, content[:MAX_PICTURE_BYTES])).status_code == 200
    assert messages(await upload(tickets, key, content[: MAX_PICTURE_BYTES + 1]), 413) == [
        "The body is too large"
    ]

    async def chunks() -> Any:
        for _ in range(6):
            yield bytes(1024 * 1024)

    answer = await tickets.ask("PUT", f"/api/tickets/{key}/picture", by=ANN, content=chunks())
    assert answer.status_code == 413


async def test_a_body_that_is_not_a_picture_may_have_at_most_one_megabyte(tickets: Served) -> None:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, content=bytes(1_000_001))
    assert answer.status_code == 413


async def test_only_the_seller_can_change_the_picture_of_a_ticket(tickets: Served) -> None:
    key = await list_ticket(tickets)
    path = f"/api/tickets/{key}/picture"
    for method in ("PUT", "DELETE"):
        assert messages(await tickets.ask(method, path, content=b"x"), 401) == ["Sign in first"]
        answer = await tickets.ask(method, path, by=BOB, content=b"x")
        assert messages(answer, 403) == ["Only its seller can change a ticket"]
        for unknown in (old_id(), "7"):
            answer = await tickets.ask(method, f"/api/tickets/{unknown}/picture", by=ANN, content=b"x")
            assert messages(answer, 404) == ["Not found"]


async def test_the_picture_of_a_reserved_or_withdrawn_ticket_cannot_be_changed(tickets: Served) -> None:
    held, withdrawn = await list_ticket(tickets), await list_ticket(tickets)
    name = (await attach(tickets, held, picture()))["picture"]
    await attach(tickets, withdrawn, picture())
    await reserve(held)
    await actions.withdraw(withdrawn, ANN)
    for key, why in ((held, "Cannot edit a reserved ticket"), (withdrawn, "Cannot edit a withdrawn ticket")):
        assert messages(await upload(tickets, key, picture(color="blue")), 409) == [why]
        assert messages(await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN), 409) == [why]
        assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["picture"] == name


async def test_an_upload_is_refused_if_its_ticket_is_reserved_during_processing(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await list_ticket(tickets)
    store = pictures.store

    async def store_and_reserve(rendered: Rendered) -> None:
        await store(rendered)
        await reserve(key)

    monkeypatch.setattr(pictures, "store", store_and_reserve)
    assert messages(await upload(tickets, key, picture()), 409) == ["Cannot edit a reserved ticket"]
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["picture"] is None


async def test_a_concurrent_edit_and_upload_do_not_overwrite_each_other(tickets: Served) -> None:
    key = await list_ticket(tickets)
    content = picture(size=(160, 90))

    async def edit(title: str) -> None:
        await actions.edit(key, ANN, TicketBody.model_validate({"title": title, "price": 1}))

    await asyncio.gather(*(edit(f"t{n}") for n in range(3)), upload(tickets, key, content), edit("t3"))
    ticket = (await tickets.ask("GET", f"/api/tickets/{key}")).json()
    assert (ticket["version"], ticket["picture"]) == (5, render(content, Limits()).name)
    assert ticket["title"].startswith("t")
    events = await tickets.outbox("tickets", key)
    assert [body["version"] for _, body in events] == [0, 1, 2, 3, 4, 5]


async def test_repeating_an_upload_or_a_removal_changes_nothing(tickets: Served) -> None:
    key = await list_ticket(tickets)
    first = await attach(tickets, key, picture())
    assert await attach(tickets, key, picture()) == first
    for _ in range(2):
        answer = await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["version"] == 2


async def test_a_picture_used_by_several_tickets_is_stored_once(tickets: Served) -> None:
    keys = {user: await list_ticket(tickets, by=user) for user in (new_id() for _ in range(4))}
    answers = await asyncio.gather(*(upload(tickets, key, picture(), by=user) for user, key in keys.items()))
    assert {answer.json()["picture"] for answer in answers} == await stored_names()
    assert len(await stored_names()) == 1


async def end_grace_period(name: str | None = None) -> None:
    """Change the stored times so that the grace period of all unused pictures (or of one) is over."""
    selection = {"unreferenced_since": {"$gt": now() - pictures.GRACE}, **({"_id": name} if name else {})}
    await Picture.get_pymongo_collection().update_many(
        selection, {"$set": {"unreferenced_since": now() - pictures.GRACE - timedelta(seconds=1)}}
    )


async def test_a_picture_is_removed_when_no_ticket_uses_it_and_the_grace_period_is_over(
    tickets: Served,
) -> None:
    first, second = await list_ticket(tickets), await list_ticket(tickets)
    name = (await attach(tickets, first, picture()))["picture"]
    await attach(tickets, second, picture())
    await end_grace_period()
    await pictures.sweep()
    assert await stored_names() == {name}

    await tickets.ask("DELETE", f"/api/tickets/{first}/picture", by=ANN)
    await end_grace_period()
    await pictures.sweep()
    assert await stored_names() == {name}

    other = (await attach(tickets, second, picture(color="blue")))["picture"]
    await pictures.sweep()
    assert await stored_names() == {name, other}  # during the grace period
    await end_grace_period()
    await pictures.sweep()
    assert await stored_names() == {other}
    assert (await tickets.ask("GET", f"/api/tickets/pictures/{name}/small")).status_code == 404


async def test_a_picture_that_was_never_attached_to_a_ticket_is_removed(tickets: Served) -> None:
    await pictures.store(render(picture(), Limits()))
    await end_grace_period()
    await pictures.sweep()
    assert await stored_names() == set()


async def test_a_picture_that_is_attached_to_a_ticket_during_the_sweep_is_kept(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, rendered = await list_ticket(tickets), render(picture(), Limits())
    await pictures.store(rendered)
    await end_grace_period()
    collection = Picture.get_pymongo_collection()
    delete_one = collection.delete_one

    async def attach_and_delete(_: object, filter_: dict[str, Any], **options: Any) -> Any:
        await attach(tickets, key, picture())
        return await delete_one(filter_, **options)

    monkeypatch.setattr(type(collection), "delete_one", attach_and_delete)
    await pictures.sweep()
    assert await stored_names() == {rendered.name}


class SlowBody:
    """The body of an upload that stops in its middle until `finish` is called."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._finished = asyncio.Event()
        self.started = asyncio.Event()
        self.finish = self._finished.set

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content[:100]
        self.started.set()
        await self._finished.wait()
        yield self._content[100:]


async def test_a_user_uploads_one_picture_at_a_time(tickets: Served) -> None:
    first, second, bobs = [await list_ticket(tickets, by=user) for user in (ANN, ANN, BOB)]
    body = SlowBody(picture())
    path = f"/api/tickets/{first}/picture"
    uploading = asyncio.create_task(tickets.ask("PUT", path, by=ANN, content=body))
    await body.started.wait()
    for key in (first, second):
        refused = await upload(tickets, key, picture())
        assert messages(refused, 429) == [
            "Your previous upload is still being processed. Try again in a moment"
        ]
        assert int(refused.headers["retry-after"]) > 0
    assert (await upload(tickets, bobs, picture(), by=BOB)).status_code == 200
    body.finish()
    assert (await uploading).status_code == 200
    assert (await upload(tickets, second, picture())).status_code == 200


async def test_an_upload_that_fails_does_not_block_the_next_one(tickets: Served) -> None:
    key = await list_ticket(tickets)
    for content, status in ((b"no picture", 415), (bytes(MAX_PICTURE_BYTES + 1), 413), (picture(), 200)):
        assert (await upload(tickets, key, content)).status_code == status


async def test_the_upload_of_another_user_is_refused_before_its_body_is_read(tickets: Served) -> None:
    key = await list_ticket(tickets)
    body = SlowBody(picture())
    path = f"/api/tickets/{key}/picture"
    refused = asyncio.create_task(tickets.ask("PUT", path, by=BOB, content=body))
    await body.started.wait()
    assert (await upload(tickets, await list_ticket(tickets, by=BOB), picture(), by=BOB)).status_code == 200
    body.finish()
    assert (await refused).status_code == 403


async def test_an_upload_is_refused_while_many_others_wait(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(picture_processes=1, picture_queue=1)) as tickets:
        keys = {user: await list_ticket(tickets, by=user) for user in (new_id() for _ in range(5))}
        answers = await asyncio.gather(
            *(upload(tickets, key, picture(), by=user) for user, key in keys.items())
        )
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 0 < len(refused) < len(answers)
        for answer in refused:
            assert messages(answer, 503) == ["Many uploads are being processed. Try again in a moment"]
            assert int(answer.headers["retry-after"]) > 0

"""Pictures of tickets: what is taken, what is shown, and what is left of them."""

import asyncio
import io
import struct
import threading
import zlib
from datetime import timedelta
from typing import Any

import httpx
import pytest
from PIL import Image, PngImagePlugin

from contracts.api import TicketBody
from contracts.events import OrderCreated, OrderedTicket
from contracts.wire import now
from services.tickets import actions, images, pictures
from services.tickets.documents import Picture
from tests.people import PATIENCE
from tests.services.conftest import SettingsWith
from tests.services.served import Served, messages, new_id, old_id, serving

ANN, BOB = new_id(), new_id()


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (1600, 1200), colour: str = "red", **options: Any
) -> bytes:
    """One of a single colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, **options)
    return file.getvalue()


def halves(kind: str = "PNG", **options: Any) -> bytes:
    """Red on the left, blue on the right."""
    file = io.BytesIO()
    image = Image.new("RGB", (320, 180), "red")
    image.paste((0, 0, 255), (160, 0, 320, 180))
    image.save(file, kind, **options)
    return file.getvalue()


async def offered(tickets: Served, *, by: str = ANN) -> str:
    answer = await tickets.ask("POST", "/api/tickets", by=by, json={"title": "Hamlet", "price": 10})
    assert answer.status_code == 201
    return str(answer.json()["id"])


async def put(tickets: Served, key: str, content: bytes, *, by: str | None = ANN) -> httpx.Response:
    return await tickets.ask("PUT", f"/api/tickets/{key}/picture", by=by, content=content)


async def given(tickets: Served, key: str, content: bytes) -> dict[str, Any]:
    answer = await put(tickets, key, content)
    assert answer.status_code == 200, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def looked_at(tickets: Served, name: str, size: str = "large") -> Image.Image:
    answer = await tickets.ask("GET", f"/api/tickets/pictures/{name}/{size}")
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


def colour_at(image: Image.Image, x: float, y: float) -> str:
    pixel = image.convert("RGB").getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(pixel, tuple)
    red, green, blue = (value > 127 for value in pixel)
    return {(True, False, False): "red", (False, False, True): "blue", (True, True, True): "white"}[
        red, green, blue
    ]


async def stored() -> set[str]:
    return {found["_id"] async for found in Picture.get_pymongo_collection().find({}, {"_id": 1})}


async def hold(key: str) -> None:
    order = OrderedTicket(id=key, title="Hamlet", price="10")  # type: ignore[arg-type]
    await actions.follow_order(
        OrderCreated(
            id=new_id(), version=0, status="created", user_id=BOB, expires_at=now(), hold=1, ticket=order
        )
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_picture_is_shown_in_two_sizes_of_one_shape(tickets: Served, kind: str) -> None:
    key = await offered(tickets)
    ticket = await given(tickets, key, picture(kind))
    assert (ticket["version"], len(ticket["picture"])) == (1, 64)
    assert (await tickets.ask("GET", "/api/tickets")).json() == [ticket]
    for size, dimensions in {"small": (480, 270), "large": (1280, 720)}.items():
        shown = await looked_at(tickets, ticket["picture"], size)
        assert (shown.format, shown.size) == ("WEBP", dimensions)
        assert colour_at(shown, 0.5, 0.5) == "red"


async def test_uploads_are_limited_by_user(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(rate_upload=2)) as tickets:
        key, of_bob = await offered(tickets), await offered(tickets, by=BOB)
        await given(tickets, key, picture())
        assert (await put(tickets, key, b"no picture")).status_code == 415
        refused = await put(tickets, key, picture(colour="blue"))
        assert messages(refused, 429) == ["Too many requests. Try again in a moment"]
        assert int(refused.headers["retry-after"]) > 0
        assert (await put(tickets, of_bob, picture(), by=BOB)).status_code == 200
        assert (await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN)).status_code == 204


async def test_a_new_picture_is_told_like_any_edit(tickets: Served) -> None:
    key = await offered(tickets)
    ticket = await given(tickets, key, picture())
    await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN)
    told = await tickets.outbox("tickets", key)
    assert [(subject, body["picture"]) for subject, body in told] == [
        ("ticket.created", None),
        ("ticket.updated", ticket["picture"]),
        ("ticket.updated", None),
    ]


async def test_browsers_keep_a_picture_for_good(tickets: Served) -> None:
    name = (await given(tickets, await offered(tickets), picture()))["picture"]
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
async def test_a_picture_that_is_not_there_is_not_found(tickets: Served, path: str) -> None:
    answer = await tickets.ask("GET", f"/api/tickets/pictures/{path}", headers={"If-None-Match": "*"})
    assert messages(answer, 404) == ["Not found"]
    assert "etag" not in answer.headers


async def test_a_picture_has_no_other_sizes_and_shows_nothing_else(tickets: Served) -> None:
    name = (await given(tickets, await offered(tickets), picture()))["picture"]
    for size in ("medium", "loose", "_id"):
        answer = await tickets.ask("GET", f"/api/tickets/pictures/{name}/{size}")
        assert messages(answer, 404) == ["Not found"]


async def test_a_picture_lying_on_its_side_is_set_upright(tickets: Served) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    ticket = await given(tickets, await offered(tickets), halves("JPEG", exif=exif, quality=95))
    shown = await looked_at(tickets, ticket["picture"])
    assert (colour_at(shown, 0.1, 0.5), colour_at(shown, 0.9, 0.5)) == ("blue", "red")
    exif[0x0112] = 6  # its top is on the right
    ticket = await given(tickets, await offered(tickets), halves("JPEG", exif=exif, quality=95))
    shown = await looked_at(tickets, ticket["picture"])
    assert (colour_at(shown, 0.5, 0.05), colour_at(shown, 0.5, 0.95)) == ("red", "blue")


async def test_nothing_but_pixels_is_shown(tickets: Served) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "taken at home")
    uploads = [
        picture("JPEG", exif=exif, comment=b"taken at home", icc_profile=b"taken at home"),
        picture("PNG", exif=exif, pnginfo=text),
        picture("WEBP", exif=exif, xmp=b"taken at home"),
        picture("JPEG") + b"taken at home",
    ]
    for upload in uploads:
        name = (await given(tickets, await offered(tickets), upload))["picture"]
        for size in ("small", "large"):
            shown = await looked_at(tickets, name, size)
            shown.load()
            assert not dict(shown.getexif())
            assert not {"exif", "xmp", "icc_profile", "comment", "Comment"} & shown.info.keys()
            answer = await tickets.ask("GET", f"/api/tickets/pictures/{name}/{size}")
            assert b"taken at home" not in answer.content


async def test_what_is_transparent_is_shown_on_white(tickets: Served) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (320, 180), (255, 0, 0, 0)).save(file, "PNG")
    name = (await given(tickets, await offered(tickets), file.getvalue()))["picture"]
    assert colour_at(await looked_at(tickets, name), 0.5, 0.5) == "white"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "RGBA"])
async def test_every_kind_of_pixels_is_taken(tickets: Served, mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (320, 180)).save(file, "PNG")
    assert (await put(tickets, await offered(tickets), file.getvalue())).status_code == 200


async def test_a_moving_picture_stands_still(tickets: Served) -> None:
    file = io.BytesIO()
    first, second = (Image.new("RGB", (320, 180), colour) for colour in ("red", "blue"))
    first.save(file, "WEBP", save_all=True, append_images=[second], lossless=True)
    name = (await given(tickets, await offered(tickets), file.getvalue()))["picture"]
    shown = await looked_at(tickets, name)
    assert (getattr(shown, "n_frames", 1), colour_at(shown, 0.5, 0.5)) == (1, "red")


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that says it is so large, followed by these chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return file


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
async def test_what_is_no_jpeg_png_or_webp_is_refused(tickets: Served, content: bytes) -> None:
    answer = await tickets.ask(
        "PUT",
        f"/api/tickets/{await offered(tickets)}/picture",
        by=ANN,
        content=content,
        headers={"Content-Type": "image/png"},
    )
    assert messages(answer, 415) == ["The picture must be a JPEG, PNG or WebP"]
    assert await stored() == set()


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
        png(640, 480, (b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000)))),  # a bomb in a comment
    ],
    ids=range(9),
)
async def test_what_cannot_be_decoded_is_refused(tickets: Served, content: bytes) -> None:
    answer = await put(tickets, await offered(tickets), content)
    assert messages(answer, 400) == ["The picture can't be read. Try another one"]
    assert await stored() == set()


@pytest.mark.parametrize("size", [(50_000, 50_000), (30_001, 1000), (20_000, 20), (0x7FFFFFFF, 0x7FFFFFFF)])
async def test_a_small_file_of_a_huge_picture_is_refused_before_it_is_decoded(
    tickets: Served, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_render", lambda _: pytest.fail("it was decoded"))
    answer = await put(tickets, await offered(tickets), png(*size, (b"IDAT", zlib.compress(bytes(1000)))))
    assert messages(answer, 400) == ["The picture must have at most 30 million pixels"]


async def test_a_picture_of_a_few_pixels_is_refused(tickets: Served) -> None:
    answer = await put(tickets, await offered(tickets), picture(size=(200, 15)))
    assert messages(answer, 400) == ["The picture must be at least 16 pixels wide and high"]


async def test_a_picture_may_have_5_megabytes_and_no_more(tickets: Served) -> None:
    key = await offered(tickets)
    whole = picture() + bytes(images.MAX_BYTES)
    assert (await put(tickets, key, whole[: images.MAX_BYTES])).status_code == 200
    assert messages(await put(tickets, key, whole[: images.MAX_BYTES + 1]), 413) == ["The body is too large"]

    async def unannounced() -> Any:
        for _ in range(6):
            yield bytes(1024 * 1024)

    answer = await tickets.ask("PUT", f"/api/tickets/{key}/picture", by=ANN, content=unannounced())
    assert answer.status_code == 413


async def test_other_bodies_stay_as_small_as_before(tickets: Served) -> None:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, content=bytes(1_000_001))
    assert answer.status_code == 413


async def test_only_its_seller_gives_a_ticket_a_picture(tickets: Served) -> None:
    key = await offered(tickets)
    path = f"/api/tickets/{key}/picture"
    for method in ("PUT", "DELETE"):
        assert messages(await tickets.ask(method, path, content=b"x"), 401) == ["Sign in first"]
        answer = await tickets.ask(method, path, by=BOB, content=b"x")
        assert messages(answer, 403) == ["Only its seller can change a ticket"]
        for unknown in (old_id(), "7"):
            answer = await tickets.ask(method, f"/api/tickets/{unknown}/picture", by=ANN, content=b"x")
            assert messages(answer, 404) == ["Not found"]


async def test_a_reserved_or_withdrawn_ticket_keeps_its_picture(tickets: Served) -> None:
    held, withdrawn = await offered(tickets), await offered(tickets)
    name = (await given(tickets, held, picture()))["picture"]
    await given(tickets, withdrawn, picture())
    await hold(held)
    await actions.withdraw(withdrawn, ANN)
    for key, why in ((held, "Cannot edit a reserved ticket"), (withdrawn, "Cannot edit a withdrawn ticket")):
        assert messages(await put(tickets, key, picture(colour="blue")), 409) == [why]
        assert messages(await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN), 409) == [why]
        assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["picture"] == name


async def test_a_ticket_that_is_reserved_while_its_picture_is_made_keeps_the_old_one(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await offered(tickets)
    keep = pictures.keep

    async def reserved_meanwhile(made: images.Rendered) -> None:
        await keep(made)
        await hold(key)

    monkeypatch.setattr(pictures, "keep", reserved_meanwhile)
    assert messages(await put(tickets, key, picture()), 409) == ["Cannot edit a reserved ticket"]
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["picture"] is None


async def test_edits_and_pictures_at_once_undo_nothing_of_each_other(tickets: Served) -> None:
    key = await offered(tickets)
    upload = picture(size=(160, 90))

    async def edit(title: str) -> None:
        await actions.edit(key, ANN, TicketBody.model_validate({"title": title, "price": 1}))

    await asyncio.gather(*(edit(f"t{n}") for n in range(3)), put(tickets, key, upload), edit("t3"))
    ticket = (await tickets.ask("GET", f"/api/tickets/{key}")).json()
    assert (ticket["version"], ticket["picture"]) == (5, images.render(upload).name)
    assert ticket["title"].startswith("t")
    told = await tickets.outbox("tickets", key)
    assert [body["version"] for _, body in told] == [0, 1, 2, 3, 4, 5]


async def test_the_same_picture_again_changes_nothing(tickets: Served) -> None:
    key = await offered(tickets)
    first = await given(tickets, key, picture())
    assert await given(tickets, key, picture()) == first
    for _ in range(2):
        answer = await tickets.ask("DELETE", f"/api/tickets/{key}/picture", by=ANN)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["version"] == 2


async def test_a_picture_of_many_tickets_is_kept_once(tickets: Served) -> None:
    given_to = [await offered(tickets) for _ in range(4)]
    answers = await asyncio.gather(*(put(tickets, key, picture()) for key in given_to))
    assert {answer.json()["picture"] for answer in answers} == await stored()
    assert len(await stored()) == 1


async def after_the_grace(name: str | None = None) -> None:
    """What was loosened till now was so long ago."""
    which = {"loose": {"$gt": now() - pictures.GRACE}, **({"_id": name} if name else {})}
    await Picture.get_pymongo_collection().update_many(
        which, {"$set": {"loose": now() - pictures.GRACE - timedelta(seconds=1)}}
    )


async def test_a_picture_is_removed_once_no_ticket_has_it(tickets: Served) -> None:
    first, second = await offered(tickets), await offered(tickets)
    name = (await given(tickets, first, picture()))["picture"]
    await given(tickets, second, picture())
    await after_the_grace()
    await pictures.sweep()
    assert await stored() == {name}

    await tickets.ask("DELETE", f"/api/tickets/{first}/picture", by=ANN)
    await after_the_grace()
    await pictures.sweep()
    assert await stored() == {name}

    other = (await given(tickets, second, picture(colour="blue")))["picture"]
    await pictures.sweep()
    assert await stored() == {name, other}  # for a while
    await after_the_grace()
    await pictures.sweep()
    assert await stored() == {other}
    assert (await tickets.ask("GET", f"/api/tickets/pictures/{name}/small")).status_code == 404


async def test_a_picture_that_no_ticket_got_is_removed(tickets: Served) -> None:
    await pictures.keep(images.render(picture()))
    await after_the_grace()
    await pictures.sweep()
    assert await stored() == set()


async def test_a_picture_that_a_ticket_gets_while_it_is_swept_stays(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, made = await offered(tickets), images.render(picture())
    await pictures.keep(made)
    await after_the_grace()
    collection = Picture.get_pymongo_collection()
    delete_one = collection.delete_one

    async def got_meanwhile(which: dict[str, Any]) -> Any:
        await given(tickets, key, picture())
        return await delete_one(which)

    monkeypatch.setattr(type(collection), "delete_one", lambda _, which: got_meanwhile(which))
    await pictures.sweep()
    assert await stored() == {made.name}


async def test_the_loop_goes_on_while_a_picture_is_made(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides of this meeting have to run: the thread that makes it, and the loop."""
    meeting = threading.Barrier(2, timeout=PATIENCE)
    render = images.render

    def meets(upload: bytes) -> images.Rendered:
        meeting.wait()
        return render(upload)

    monkeypatch.setattr(images, "render", meets)
    making = asyncio.create_task(put(tickets, await offered(tickets), picture()))
    await asyncio.to_thread(meeting.wait)
    assert (await making).status_code == 200

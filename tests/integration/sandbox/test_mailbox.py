"""The embedded mailbox: what it receives over SMTP, and how its pages show it."""

import smtplib
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from sandbox.mailbox import previews, store
from sandbox.mailbox.app import create_app
from sandbox.testing import free_port
from settings import Settings
from tests.support.asgi import alive


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path, mailbox_smtp_port=free_port())


@asynccontextmanager
async def mailbox(settings: Settings, host: str = "localhost") -> AsyncIterator[httpx.AsyncClient]:
    """The pages of a running mailbox."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type] # an ASGI app
    async with (
        alive(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://{host}:{settings.mailbox_port}") as http,
    ):
        yield http


def message(subject: str = "Hello", to: str = "ada@example.com") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "eve@example.com", to, subject
    made.set_content("plain words")
    made.add_alternative(
        "<html><head></head><body><script>alert(1)</script>rich</body></html>", subtype="html"
    )
    made.add_attachment("BEGIN", filename="event.ics")
    return made


async def deliver(settings: Settings, *messages: EmailMessage) -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", settings.mailbox_smtp_port) as smtp:
            for each in messages:
                smtp.send_message(each)

    await to_thread(send)


async def test_a_message_is_listed_found_and_shown(settings: Settings) -> None:
    async with mailbox(settings) as http:
        await deliver(settings, message(), message("Another", "bob@example.com"))
        assert [each["subject"] for each in (await http.get("/api/messages")).json()] == ["Another", "Hello"]
        for words, count in [("ada", 1), ("plain", 2), ("hello PLAIN", 1), ("100%", 0), ("_", 0)]:
            assert len((await http.get("/api/messages", params={"q": words})).json()) == count, words
        page = (await http.get("/messages/1")).text
        assert "plain words" in page
        assert "event.ics" in page
        assert "alert(1)" not in page
        attachment = await http.get("/messages/1/attachments/0")
        assert attachment.headers["content-disposition"] == 'attachment; filename="event.ics"'
        assert attachment.headers["content-type"] == "application/octet-stream"
        assert (await http.get("/messages/3")).status_code == 404
        assert (await http.get("/messages/1/attachments/1")).status_code == 404


async def test_the_html_of_a_message_can_do_nothing(settings: Settings) -> None:
    async with mailbox(settings) as http:
        await deliver(settings, message())
        answer = await http.get("/messages/1/html")
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert not any(part.startswith("script-src") for part in policy)
    assert '<base target="_blank">' in answer.text


async def test_a_restart_keeps_the_messages_and_only_the_newest_stay(settings: Settings) -> None:
    with patch.object(store, "KEPT", 3):
        async with mailbox(settings):
            await deliver(settings, *(message(f"number {number}") for number in range(5)))
        async with mailbox(settings) as http:
            found = (await http.get("/api/messages")).json()
    assert [each["subject"] for each in found] == ["number 4", "number 3", "number 2"]


async def test_another_name_of_this_machine_shows_nothing(settings: Settings) -> None:
    async with mailbox(settings, host="evil.example") as http:
        assert (await http.get("/api/messages")).status_code == 400


@pytest.mark.parametrize("name", list(previews.names()))
async def test_each_kind_has_a_preview(name: str, settings: Settings) -> None:
    async with mailbox(settings) as http:
        assert f'href="/previews/{name}"' in (await http.get("/previews")).text
        assert "Auto-Submitted: auto-generated" in (await http.get(f"/previews/{name}")).text
        assert (await http.get(f"/previews/{name}/html")).status_code == 200
        assert (await http.get("/previews/unknown")).status_code == 404

"""A form stops if its page was made for another user than the one who is signed in now."""

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
import pytest

from contracts.api import User
from kit.session_use import REPORT_PATH
from tests.integration.web.page_client import PageClient, is_page, text_of
from tests.integration.web.shared_site import Site
from tests.support.fakes.market import Market
from web.rendering.templating import TEMPLATES

FORM = re.compile(r'<form\b([^>]*\bmethod="post"[^>]*)>(.*?)</form>', re.DOTALL)
WITHOUT_USER = {"/signin", "/signup", "/city"}
"""Forms that begin a session, whoever is signed in, and the one whose answer a browser remembers."""
WITHOUT_SESSION = {"forgot.html", "new_password.html", "_unsubscribe.html"}
"""Templates of forms that act for the account of an address, a link or a token, whoever is signed in."""

BY_SCRIPT = {"add.html"}
"""Templates of forms that a script sends to the API, which needs the password of whoever is signed in."""


@dataclass(frozen=True)
class SentForm:
    action: str
    fields: dict[str, str]
    is_multipart: bool


def hidden_fields(html: str) -> dict[str, str]:
    fields = {}
    for tag in re.findall(r"<input\b[^>]*>", html):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if attributes.get("type") == "hidden":
            fields[attributes["name"]] = unescape(attributes.get("value", ""))
    return fields


def forms_of(page: str) -> list[SentForm]:
    """The forms of a page with their hidden fields, also with those outside of the form."""
    found = []
    for head, content in FORM.findall(page):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', head))
        outside = [
            tag for tag in re.findall(r"<input\b[^>]*>", page) if f'form="{attributes.get("id")}"' in tag
        ]
        fields = hidden_fields(content) | hidden_fields("".join(outside))
        found.append(SentForm(attributes["action"], fields, "multipart" in head))
    return found


@dataclass(frozen=True)
class People:
    ann: User
    bob: User
    tokens: dict[str, str]

    def sign_in(self, client: PageClient, user: User) -> None:
        client.http.cookies.clear()
        client.sign_in_as(self.tokens[user.id])


@pytest.fixture
def people(market: Market) -> People:
    (ann, anns), (bob, bobs) = market.user("ann@example.com"), market.user("bob@example.com")
    return People(ann, bob, {ann.id: anns, bob.id: bobs})


async def pages_of_ann(client: PageClient, market: Market, people: People) -> list[str]:
    """Pages with all kinds of forms, as Ann sees them."""
    seller, _ = market.user("seller@example.com")
    own = market.ticket(people.ann, picture="a" * 32)
    unpaid, cancelled = (
        market.order(people.ann, market.ticket(seller), status=status, can_extend=True)
        for status in ("created", "cancelled")
    )
    people.sign_in(client, people.ann)
    paths = ["/", "/sell", f"/tickets/{own.id}/edit", f"/tickets/{own.id}/withdraw", "/account"]
    paths += [f"/tickets/{market.ticket(seller).id}", f"/orders/{cancelled.id}"]
    paths += [f"/tickets/{market.ticket(seller).id}/report"]
    paths += [f"/orders/{unpaid.id}", f"/orders/{unpaid.id}?step=pay", f"/orders/{unpaid.id}/cancel"]
    pages = [await client.get(path) for path in paths]
    assert {page.status_code for page in pages} == {200}
    return [page.text for page in pages]


async def send(client: PageClient, form: SentForm, **headers: str) -> httpx.Response:
    files = {"picture": ("a.png", b"x", "image/png")} if form.is_multipart else None
    return await client.http.post(form.action, data=form.fields, files=files, headers=headers)


async def test_every_form_stops_if_another_user_is_signed_in(
    client: PageClient, market: Market, people: People
) -> None:
    forms = {
        form.action: form for page in await pages_of_ann(client, market, people) for form in forms_of(page)
    }
    assert forms.pop("/city").fields == {}
    kinds = {re.sub(r"[0-9a-f]{24}", "*", action).partition("?")[0] for action in forms}
    assert kinds == {
        *("/account/name", "/account/trader", "/account/language", "/account/sessions/*/end"),
        *("/signout", "/account/signout", "/account/password", "/sell", "/tickets/*/buy", "/tickets/*/edit"),
        *("/tickets/*/withdraw", "/tickets/*/picture", "/tickets/*/picture/remove", "/tickets/*/report"),
        *("/orders/*/pay", "/orders/*/extend", "/orders/*/cancel"),
    }
    people.sign_in(client, people.bob)
    market.seen.clear()
    for form in forms.values():
        for headers in ({}, {"HX-Request": "true", "HX-Request-Type": "partial"}):
            response = await send(client, form, **headers)
            assert response.status_code == 409, form
            assert "You are now signed in as bob@example.com" in text_of(response), form
            assert "Continue as bob@example.com" in text_of(response), form
            assert is_page(response) is (not headers)
    assert {request.path for request in market.seen} <= {REPORT_PATH}


def test_every_form_that_changes_something_records_its_user() -> None:
    templates = [path for path in Path(TEMPLATES).rglob("*.html") if path.name != "rejected.html"]
    forms = [
        (path, form) for path in templates for form in re.findall(r"<form.*?</form>", path.read_text(), re.S)
    ]
    writing = [
        (path.name, form) for path, form in forms if "post" in form.partition("\n")[0] or "post_to" in form
    ]
    assert len(writing) > 12
    for name, form in writing:
        needs_no_user = any(f'post_to("{action}"' in form for action in WITHOUT_USER)
        needs_no_session = name in WITHOUT_SESSION | BY_SCRIPT
        is_recorded = "recorded_user(viewer)" in form or 'id="buy"' in form
        assert is_recorded or needs_no_user or needs_no_session, name


async def test_a_form_of_the_user_who_is_signed_in_is_accepted(
    client: PageClient, market: Market, people: People
) -> None:
    for page in await pages_of_ann(client, market, people):
        for form in forms_of(page):
            if form.action.endswith(("/buy", "/extend")):
                assert (await send(client, form)).status_code in {200, 303}
    assert len(market.orders) > 2


async def test_a_form_of_a_user_whose_session_has_ended_leads_to_the_sign_in_page(
    client: PageClient, market: Market, people: People
) -> None:
    ticket = market.ticket(people.bob)
    response = await client.submit(f"/tickets/{ticket.id}/buy", viewer=people.ann.id)
    assert response.headers["location"] == f"/signin?next=/tickets/{ticket.id}"


async def test_a_form_that_a_guest_saw_stops_after_somebody_signed_in(
    client: PageClient, market: Market, people: People
) -> None:
    ticket = market.ticket(people.ann)
    guest = hidden_fields((await client.get(f"/tickets/{ticket.id}")).text)
    assert guest == {"viewer": ""}
    people.sign_in(client, people.bob)
    response = await client.submit(f"/tickets/{ticket.id}/buy", viewer=guest["viewer"])
    assert response.status_code == 409
    assert "This page was opened before you signed in" in text_of(response)
    assert f'href="/tickets/{ticket.id}"' in response.text


async def test_a_shared_page_records_the_user_who_receives_it(site: Site) -> None:
    for email in ("ann@example.com", "bob@example.com"):
        user, token = site.market.user(email)
        site.client.http.cookies.clear()
        site.client.sign_in_as(token)
        site.asked()
        (buy,) = [form for form in forms_of((await site.get(site.page)).text) if form.action.endswith("/buy")]
        assert buy.fields == {"viewer": user.id, "price": "20.00"}
    assert site.asked() == []  # the second user received the first one's rendering

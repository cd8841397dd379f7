"""Deleting an account, and downloading what is stored about a person."""

import json
import re
from pathlib import Path

from playwright.async_api import expect

from e2e.test_accessibility import violations
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors
from tests.support.people import PASSWORD
from tests.support.polling import until
from tests.support.stack import Stack


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_user_withdraws_a_ticket_and_deletes_the_account(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    leaver = await visitors.member(java_script_enabled=java_script_enabled)
    person = leaver.person
    await person.client.patch("/api/users/me", json={"name": "Ada from Leeds"})
    ticket = await person.lists_ticket(title="Hania Rani, Turku", notes="Call Ada")
    await leaver.open("/account")
    await leaver.link("Delete my account").click()
    await leaver.sees(re.compile("delete your account yet"))
    await leaver.link("Hania Rani, Turku").click()
    await person.client.delete(f"/api/tickets/{ticket['id']}")

    await leaver.open("/account/deleted")  # somebody else may have sent the address
    assert leaver.path == "/account"
    await leaver.open("/account/delete")
    await leaver.sees(re.compile("be undone"))
    await leaver.page.get_by_label("Current password").fill("wrong horse")
    await leaver.button("Delete my account").click()
    await leaver.sees("Your current password is wrong")
    await leaver.page.get_by_label("Current password").fill(PASSWORD)
    await leaver.button("Delete my account").click()
    await leaver.sees("You were signed out on all devices. You can sign up again with the same address.")
    await expect(leaver.page.get_by_role("banner")).not_to_contain_text(person.email)

    guest = await visitors.guest(java_script_enabled=java_script_enabled)
    await guest.open("/signin")
    await guest.page.get_by_label("Email").fill(person.email)
    await guest.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await guest.button("Sign in").click()
    await guest.sees("The email and password don't match")

    async def text() -> str:
        await guest.open(f"/tickets/{ticket['id']}")
        return await guest.main.inner_text()

    seen = await until(text, lambda words: "Call Ada" not in words)
    assert "The seller has deleted the account" in seen
    assert "Ada from Leeds" not in seen


async def test_the_page_says_until_when_something_is_reserved(visitors: Visitors) -> None:
    leaver, buyer = await visitors.member(), await visitors.person()
    offered = await leaver.person.lists_ticket(title="Hania Rani, Turku")
    await buyer.reserves(offered["id"])
    await leaver.person.reserves((await visitors.ticket())["id"])
    await leaver.open("/account/delete")
    await leaver.sees(re.compile("Pay for it or release it"))
    await leaver.sees(re.compile("Somebody has reserved it"))
    await expect(leaver.main.get_by_text(re.compile("Reserved until"))).to_have_count(2)
    assert await violations(leaver.page) == []


async def test_the_pages_are_accessible(visitors: Visitors) -> None:
    leaver, guest = await visitors.member(), await visitors.guest()
    for visitor, path in (
        (leaver, "/account/delete"),
        (leaver, "/account/export"),
        (guest, "/account/deleted"),
        (guest, "/account/reset?done"),
        (guest, "/account/forgot?sent"),
    ):
        await visitor.open(path)
        for scheme in ("light", "dark"):
            await visitor.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            assert await violations(visitor.page) == [], (path, scheme)


async def test_a_session_of_a_deleted_user_can_neither_reserve_nor_list(
    visitors: Visitors, stack: Stack
) -> None:
    person, ticket = await visitors.person(), await visitors.ticket()
    answer = await person.client.post("/api/users/me/deletion", json={"currentPassword": PASSWORD})
    assert answer.status_code == 200
    reservation = await person.tries_to_reserve(ticket["id"], at=stack.settings.url_of("orders"))
    listing = await person.client.post(
        f"{stack.settings.url_of('tickets')}/api/tickets", json={"title": "Hamlet", "price": 20}
    )
    assert {reservation.status_code, listing.status_code} <= {401, 403}


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_user_downloads_everything_that_is_stored(
    visitors: Visitors, java_script_enabled: bool, tmp_path: Path
) -> None:
    visitor = await visitors.member(java_script_enabled=java_script_enabled)
    await visitor.person.lists_ticket(title="Hania Rani, Turku", privateNote="Transfer code AB12")
    ticket = await visitors.ticket()
    order = await visitor.person.reserves(ticket["id"])
    await visitor.open("/account")
    await visitor.link("Download my data").click()
    async with visitor.page.expect_download() as download:
        await visitor.button("Download").click()
    file = tmp_path / "export.json"
    await (await download.value).save_as(file)
    archive = json.loads(file.read_text())
    assert archive["account"]["email"] == visitor.person.email
    assert [ticket["privateNote"] for ticket in archive["tickets"]] == ["Transfer code AB12"]
    assert [each["id"] for each in archive["orders"]] == [order["id"]]
    assert ticket["userId"] not in file.read_text()

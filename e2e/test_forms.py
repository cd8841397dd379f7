"""Error messages of forms, and the filters on a phone."""

import re

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors
from tests.support.people import PASSWORD


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_each_invalid_sign_up_field_shows_its_error_and_keeps_its_input(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    visitor = await visitors.guest(java_script_enabled=java_script_enabled)
    email, password = visitor.page.get_by_label("Email"), visitor.page.get_by_label("Password")
    await visitor.open("/signup?next=/orders")
    await email.fill("somebody at example")
    await password.fill("short")
    await visitor.button("Sign up").click()

    summary = visitor.main.get_by_role("alert")
    await expect(summary).to_be_focused()
    await expect(summary.get_by_role("listitem")).to_have_count(2)
    await expect(email).to_have_accessible_description(re.compile("valid"))
    await expect(password).to_have_accessible_description(
        re.compile("Password must be between 8 and 256 characters")
    )
    for field in (email, password):
        await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(email).to_have_value("somebody at example")

    await summary.get_by_role("link", name="Password must be").click()
    await expect(password).to_be_focused()
    await visitor.fills_in_sign_up()
    assert visitor.path == "/orders"


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_signing_up_with_an_email_address_in_use_shows_an_error_at_its_field_and_leads_on(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    first = await visitors.person()
    second = await visitors.guest(java_script_enabled=java_script_enabled)
    await second.open("/signup")
    await second.page.get_by_label("Email").fill(first.email)
    await second.page.get_by_label("Password").fill(PASSWORD)
    await second.button("Sign up").click()
    await expect(second.main.get_by_role("alert")).to_contain_text("This address has an account already")
    email = second.page.get_by_label("Email")
    await expect(email).to_have_accessible_description("This address has an account already")
    await second.main.get_by_text("Is it yours?").get_by_role("link", name="Sign in").click()
    await expect(second.heading("Sign in")).to_be_visible()


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_the_error_for_a_wrong_password_does_not_reveal_whether_the_account_exists(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    email = (await visitors.person()).email
    known = await visitors.guest(java_script_enabled=java_script_enabled)
    errors = []
    for name in (email, f"no-{email}"):
        await known.open("/signin")
        await known.page.get_by_label("Email").fill(name)
        await known.page.get_by_label("Password").fill("not the password")
        await known.button("Sign in").click()
        summary = known.main.get_by_role("alert")
        await expect(summary).to_be_focused()
        await expect(known.page.get_by_label("Email")).to_have_value(name)
        errors.append(await summary.inner_text())
    assert errors[0] == errors[1]
    assert "The email and password don't match" in errors[0]

    await known.page.get_by_label("Email").fill(email)
    await known.page.get_by_label("Password").fill(PASSWORD)
    await known.button("Sign in").click()
    await expect(known.button("Sign out")).to_be_visible()


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_an_invalid_price_filter_shows_an_error_and_marks_its_field(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    visitor = await visitors.guest(java_script_enabled=java_script_enabled)
    lowest = visitor.page.get_by_label("Price from")
    await visitor.open("/")
    await lowest.fill("cheap")
    await visitor.button("Search").click()
    await expect(visitor.main.get_by_role("alert")).to_contain_text("Enter a price, such as 20 or 19.99")
    await expect(lowest).to_have_attribute("aria-invalid", "true")
    await expect(lowest).to_have_accessible_description("Enter a price, such as 20 or 19.99")
    await expect(lowest).to_have_value("cheap")
    await lowest.fill("20")
    await visitor.button("Search").click()
    await expect(lowest).not_to_have_attribute("aria-invalid", "true")
    await expect(visitor.main.get_by_role("alert")).to_have_count(0)


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_on_a_phone_the_filters_are_collapsed_and_their_number_is_shown(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    await visitors.ticket()
    size = {"width": 390, "height": 844}
    visitor = await visitors.guest(java_script_enabled=java_script_enabled, viewport=size)
    await visitor.open("/")
    lowest, filters = visitor.page.get_by_label("Price from"), visitor.page.get_by_text("Filters")
    await expect(lowest).to_be_hidden()
    await expect(visitor.main.get_by_role("listitem").first).to_be_in_viewport(ratio=1)
    await filters.click()
    await lowest.fill("20")
    await visitor.button("Search").click()
    await visitor.page.wait_for_url("**/?*minPrice=20*")
    await expect(filters).to_have_text("Filters (1 on)")
    await visitor.page.reload()
    await expect(filters).to_have_text("Filters (1 on)")
    await expect(lowest).to_be_hidden()
    await visitor.page.goto(f"{visitor.site}/?minPrice=cheap")
    await expect(lowest).to_be_visible()

"""No link to this site leads to another site, and no address in a request makes a page fail."""

from urllib.parse import quote

import httpx

from tests.support.people import PASSWORD, signed_up
from tests.support.stack import Stack

ELSEWHERE = [
    "///evil.example",
    "////evil.example/orders",
    "//evil.example",
    "/\\evil.example",
    "/\\/evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http://[",
    "//[",
    "///[",
    "//\u2100.example",
    "javascript:alert(1)",
    "evil.example",
]
"""Addresses that lead browsers to another site or nowhere, as opposed to a page of this site."""

MALFORMED = ["http://[", "//[", "http://a:b:c", "http://x:99999999", "\xff"]


async def test_signing_in_leads_nowhere_else(stack: Stack) -> None:
    async with (
        signed_up(stack.web, 1) as (ann,),
        httpx.AsyncClient(base_url=stack.web, timeout=60) as browser,
    ):
        for address in ELSEWHERE:
            form = await browser.get(f"/signin?next={quote(address, safe='')}")
            assert form.status_code == 200, address
            assert 'name="next" value="/"' in form.text, address
            for htmx in ({}, {"HX-Request": "true"}):
                account = {"email": ann.email, "password": PASSWORD, "next": address}
                browser.cookies.clear()
                answer = await browser.post("/signin", data=account, headers=htmx)
                assert answer.status_code in {200, 303}, address
                assert (answer.headers.get("location") or answer.headers["hx-redirect"]) == "/", address
            browser.cookies.clear()


async def test_a_signed_in_visitor_of_the_sign_in_page_is_led_nowhere_else(stack: Stack) -> None:
    async with (
        signed_up(stack.web, 1) as (ann,),
        httpx.AsyncClient(base_url=stack.web, timeout=60) as browser,
    ):
        browser.cookies.update(ann.client.cookies)
        for address in ELSEWHERE:
            answer = await browser.get(f"/signin?next={quote(address, safe='')}")
            assert (answer.status_code, answer.headers["location"]) == (303, "/"), address


async def test_no_address_in_a_header_makes_a_page_fail(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.web, timeout=60) as browser:
        for value in MALFORMED:
            for name in ("HX-Current-URL", "Referer", "Origin", "Host"):
                headers = [(name.encode(), value.encode()), (b"HX-Request", b"true")]
                for path in ("/", "/signin", "/orders", "/api/tickets", "/nowhere"):
                    answer = await browser.get(path, headers=headers)
                    assert answer.status_code < 500, (name, value, path)
                form = await browser.post("/signin", data={"email": "a@example.com"}, headers=headers)
                assert form.status_code < 500, (name, value)

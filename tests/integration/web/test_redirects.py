"""After signing in, the browser stays on this site. No address in a request makes a page fail."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import PASSWORD, Market

MALFORMED = [
    "http://[",
    "//[",
    "http://[::1",
    "http://a:b:c",
    "http://x:99999999",
    "http://\u2100.example",
    "é\xff",
]
"""Values that a parser of addresses rejects, or may reject."""

ADDRESSES = st.one_of(
    st.text(alphabet="/\\[]:@.?#%&=\t\n\r evil✓", max_size=12).map(lambda text: f"/{text}"),
    st.text(max_size=20),
)


def examples() -> list[str]:
    found = []

    @given(ADDRESSES)
    @example("///evil.example")
    @example("//[")
    @example("/✓")
    def collect(address: str) -> None:
        found.append(address)

    collect()
    return found


async def test_any_next_address_leads_to_a_page_of_this_site(client: PageClient, market: Market) -> None:
    market.user("ann@example.com")
    for address in examples():
        client.http.cookies.clear()
        form = await client.get(f"/signin?next={quote(address, safe='', errors='replace')}")
        assert form.status_code == 200, address
        for target in (None, "signin-form"):
            client.http.cookies.clear()
            response = await client.submit(
                "/signin", target=target, email="ann@example.com", password=PASSWORD, next=address
            )
            assert response.status_code in {200, 303}, address
            then = response.headers.get("location") or response.headers["hx-redirect"]
            assert then.startswith("/"), address
            assert not then.startswith(("//", "/\\")), address


@pytest.mark.parametrize("name", ["HX-Current-URL", "Referer", "Origin", "HX-Target", "HX-Prompt"])
async def test_a_malformed_address_in_a_header_is_ignored(
    client: PageClient, market: Market, name: str
) -> None:
    seller, _ = market.user("ann@example.com")
    ticket = market.ticket(seller)
    for value in MALFORMED:
        headers: list[tuple[bytes, bytes]] = [(name.encode(), value.encode()), (b"HX-Request", b"true")]
        for path in ("/", f"/tickets/{ticket.id}", "/signin", "/nowhere"):
            response = await client.http.get(path, headers=headers)
            assert response.status_code == (404 if path == "/nowhere" else 200), value
        refused = await client.http.post("/signin", data={"email": "x", "password": "y"}, headers=headers)
        assert refused.status_code == 422, value


@pytest.mark.parametrize("host", ["a:b:c", "x:99999999", "http://["])
async def test_a_malformed_host_is_a_bad_request(client: PageClient, host: str) -> None:
    for path in ("/", "/signin", "/static/x", "/api/tickets"):
        response = await client.http.get(path, headers=[(b"Host", host.encode())])
        assert response.status_code == 400, path
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/signin", "/api/users/currentuser"])
async def test_a_request_with_two_hosts_is_refused(client: PageClient, path: str) -> None:
    """A proxy may have chosen the other one."""
    response = await client.http.get(path, headers=[(b"Host", b"localhost"), (b"Host", b"evil.example")])
    assert response.status_code == 400

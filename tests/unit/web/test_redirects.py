"""No address from a request leads a browser to another site."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from web.redirects import MAX_LENGTH, local_address, sign_in_address

ODD = st.text(alphabet="/\\[]:@.?#%&=;\t\n\r\0 \u00a0\u2028\u2100evil✓\ud800", max_size=12)
"""Addresses made of the characters that parsers of addresses disagree about."""


def leaves_the_site(address: str) -> bool:
    """Whether a browser that is at a page of this site goes to another site (WHATWG URL, section 4.4).

    Browsers remove control characters and spaces at both ends, and tabs and line breaks everywhere. A scheme,
    or two slashes or backslashes, then begin an absolute address.
    """
    stripped = address.strip("".join(map(chr, range(0x21))))
    remaining = re.sub("[\t\n\r]", "", stripped)
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|[/\\]{2}", remaining) is not None


@given(st.one_of(st.text(), ODD, ODD.map(lambda text: f"/{text}"), ODD.map(lambda text: f"//{text}")))
@example("///evil.example")
@example("//[")
@example("/\t/evil.example")
@example("/\\evil.example")
@example("//\u2100.example")
def test_an_accepted_address_keeps_a_browser_on_this_site(address: str) -> None:
    accepted = local_address(address)
    assert accepted in {address, "/"}
    assert accepted.startswith("/")
    assert not leaves_the_site(accepted)


@pytest.mark.parametrize(
    "address",
    ["/", "/sell", "/?q=nick%20cave&when=weekend", "/orders/abc?step=pay", "/?q=a//b", "/a//b", "/?q=✓"],
)
def test_a_path_of_this_site_is_accepted(address: str) -> None:
    assert local_address(address) == address


def test_an_address_longer_than_any_page_needs_is_refused() -> None:
    address = "/".ljust(MAX_LENGTH, "a")
    assert local_address(address) == address
    assert local_address(f"{address}a") == "/"


def test_the_sign_in_page_never_leads_to_another_site() -> None:
    assert sign_in_address("/orders?x=1") == "/signin?next=/orders%3Fx%3D1"
    assert sign_in_address("//evil.example") == "/signin?next=/"

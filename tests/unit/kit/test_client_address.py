from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kit.client_address import ClientAddresses, Networks, Vouching, client_address
from settings import Settings

TRUSTED: Networks = [IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")]
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], PEER),
        ([""], PEER),
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, fd00::1"], "192.0.2.1"),
        (["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
        (["forged, 192.0.2.1"], "192.0.2.1"),
        (["10.0.0.2"], "10.0.0.2"),
        (["192.0.2.1, unknown"], "malformed"),
        (["192.0.2.1, unknown, 10.0.0.2"], "malformed"),
        (["127.1"], "malformed"),
        (["192.0.2.9", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.9", "192.0.2.1, 10.0.0.2", "fd00::1"], "192.0.2.1"),
        (["192.0.2.1:50123"], "192.0.2.1"),
        (["[2001:db8::1]:50123"], "2001:db8::1"),
        (["fe80::1%eth0"], "fe80::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["2001:DB8:0::1"], "2001:db8::1"),
    ],
)
def test_the_client_is_the_last_address_that_is_not_a_trusted_proxys(
    forwarded: list[str], client: str
) -> None:
    assert client_address(forwarded, PEER, TRUSTED) == client


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([b"192.0.2.1", b"10.0.0.2"], "192.0.2.1"),
        ([b"192.0.2.9", b"192.0.2.1"], "192.0.2.1"),
        ([b"192.0.2.9", b"192.0.2.1, 10.0.0.2", b"fd00::1"], "192.0.2.1"),
    ],
)
def test_all_header_lines_of_a_request_are_read_in_order(lines: list[bytes], client: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", line) for line in lines)]
    assert ClientAddresses(TRUSTED).of({"client": (PEER, 50123), "headers": headers}) == client


def test_what_an_untrusted_peer_forwards_is_ignored() -> None:
    assert client_address(["192.0.2.1"], PEER, []) == PEER
    assert client_address(["192.0.2.1"], "unknown", TRUSTED) == "unknown"


@given(st.lists(st.text()))
def test_a_client_cannot_choose_its_address(forged: list[str]) -> None:
    """Whether the proxy adds the address to the last header line or as a line of its own."""
    assert client_address([*forged, "192.0.2.1"], PEER, TRUSTED) == "192.0.2.1"
    assert client_address([",".join([*forged, "192.0.2.1"])], PEER, TRUSTED) == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "warnings"),
    [
        ("172.16.0.1", b"192.0.2.1", 1),
        ("10.0.0.1", b"192.0.2.1, 172.16.0.1", 1),
        ("10.0.0.1", b"9.9.9.9", 0),
        ("9.9.9.9", b"192.0.2.1", 0),
        ("172.16.0.1", None, 0),
    ],
)
def test_a_private_proxy_that_is_not_trusted_causes_one_warning(
    peer: str, forwarded: bytes | None, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = ClientAddresses(TRUSTED)
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded)]
    for _ in range(3):
        addresses.of({"client": (peer, 50123), "headers": headers})
    assert len(caplog.records) == warnings


def vouching(folder: Path) -> Vouching:
    return Vouching(Settings(_env_file=None, data_dir=folder))


def test_an_address_is_accepted_only_with_the_signature_of_a_process_with_the_same_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web, service, other = vouching(tmp_path), vouching(tmp_path), vouching(tmp_path / "other")
    signed = web.sign("9.9.9.9")
    assert service.verify(signed) == "9.9.9.9"
    assert service.verify(None) is None
    assert not caplog.records
    for forged in (
        "9.9.9.9",
        "",
        signed.replace("9.9.9.9", "9.9.9.8"),
        other.sign("9.9.9.9"),
        f"{signed}\xe9",
    ):
        assert service.verify(forged) is None
    assert len(caplog.records) == 1
    assert "INTERNAL_SECRET" in caplog.text


def test_an_address_that_is_signed_with_the_previous_secret_is_accepted_while_it_is_replaced() -> None:
    old, new = SecretStr("o" * 32), SecretStr("n" * 32)
    web = Vouching(Settings(_env_file=None, internal_secret=old))
    service = Vouching(Settings(_env_file=None, internal_secret=new, previous_internal_secret=old))
    afterwards = Vouching(Settings(_env_file=None, internal_secret=new))
    signed = web.sign("9.9.9.9")
    assert (service.verify(signed), afterwards.verify(signed)) == ("9.9.9.9", None)
    assert afterwards.verify(service.sign("9.9.9.9")) == "9.9.9.9"

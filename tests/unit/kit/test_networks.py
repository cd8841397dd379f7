import pytest

from kit.networks import networks_of


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("9.9.8.7", ("9.9.8.7/32", "9.9.8.0/24")),
        ("malformed", ("malformed", "around malformed")),
        ("::ffff:9.9.8.7", ("9.9.8.7/32", "9.9.8.0/24")),
        ("2600:1:2:3:4:5:6:7", ("2600:1:2:3::/64", "2600:1:2::/48")),
    ],
)
def test_a_global_address_belongs_to_a_narrow_and_a_wide_network(
    address: str, networks: tuple[str, str]
) -> None:
    assert networks_of(address) == networks


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "fd00::1",
        "fe80::1",
        "unknown",
    ],
)
def test_limits_per_network_do_not_apply_to_local_and_unknown_addresses(address: str) -> None:
    assert networks_of(address) is None

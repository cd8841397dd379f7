import pytest

from kit import network_counts
from kit.network_counts import NetworkCounts
from kit.networks import WIDE_FACTOR, networks_of
from settings import Settings
from web.admission.network_rates import NetworkRates


class Clock:
    now = 120.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rates(clock: Clock, sign_in: int = 3, sign_up: int = 3) -> NetworkRates:
    settings = Settings(_env_file=None, rate_sign_in=sign_in, rate_sign_up=sign_up)
    return NetworkRates(settings, NetworkCounts(clock))


def sign_ins(
    limits: NetworkRates, *addresses: str, path: str = "/signin", method: str = "POST"
) -> list[int | None]:
    return [limits.retry_after(method, path, networks_of(address)) for address in addresses]


def test_the_addresses_of_a_network_share_its_limit_until_the_minute_ends(clock: Clock) -> None:
    limits = rates(clock)
    clock.now = 150
    assert sign_ins(limits, "2600::1", "2600::2", "2600::3", "2600::4") == [None, None, None, 31]
    assert sign_ins(limits, "2600:0:0:1::1") == [None]
    clock.now = 180
    assert sign_ins(limits, "2600::1") == [None]


def test_a_wide_network_has_a_limit_too(clock: Clock) -> None:
    limits = rates(clock, sign_in=1)
    addresses = [f"8.8.8.{host}" for host in range(WIDE_FACTOR + 1)]
    assert sign_ins(limits, *addresses) == [None] * WIDE_FACTOR + [61]
    assert sign_ins(limits, "8.8.9.1") == [None]


def test_sign_ins_and_sign_ups_have_limits_of_their_own_whether_by_form_or_api(clock: Clock) -> None:
    limits = rates(clock, sign_in=1, sign_up=1)
    assert sign_ins(limits, "8.8.8.8", path="/signin") == [None]
    assert sign_ins(limits, "8.8.8.8", path="/api/users/signin") == [61]
    assert sign_ins(limits, "8.8.8.8", path="/signup") == [None]
    assert sign_ins(limits, "8.8.8.8", path="/api/users/signup") == [61]


@pytest.mark.parametrize(
    ("address", "path", "method", "limit"),
    [
        ("127.0.0.1", "/signin", "POST", 1),
        ("10.0.0.1", "/signin", "POST", 1),
        ("unknown", "/signin", "POST", 1),
        ("8.8.8.8", "/signin", "GET", 1),
        ("8.8.8.8", "/orders", "POST", 1),
        ("8.8.8.8", "/signin", "POST", 0),
    ],
    ids=["loopback", "private", "unknown", "reading", "another path", "disabled"],
)
def test_other_requests_have_no_limit(clock: Clock, address: str, path: str, method: str, limit: int) -> None:
    limits = rates(clock, sign_in=limit)
    assert sign_ins(limits, *[address] * 5, path=path, method=method) == [None] * 5


def test_the_number_of_counted_networks_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_counts, "MAX_COUNTED", 10)
    limits = rates(clock)
    sign_ins(limits, *(f"2600:{network:x}::1" for network in range(100)))
    assert len(limits._counts._counts) == 10

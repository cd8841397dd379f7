import secrets
from datetime import timedelta

import pytest
from pydantic import SecretStr

from contracts.wire import now
from kit import devices
from kit.devices import LIFETIME, MAX_USERS, Devices
from settings import Settings

ANN, BOB = "a" * 24, "b" * 24


def make_devices(*, secure: bool = False) -> Devices:
    key = SecretStr(secrets.token_hex(16))
    return Devices(Settings(_env_file=None, cookie_secure=secure, internal_secret=key))


def issued(devices: Devices, user: str, given: str | None = None) -> str:
    value = devices.cookie(user, given).value
    assert value is not None
    return value


def test_a_cookie_identifies_the_device_for_its_user_only() -> None:
    devices = make_devices()
    cookie = issued(devices, ANN)
    assert devices.device_of(ANN, cookie)
    assert devices.device_of(BOB, cookie) is None
    assert devices.device_of(ANN, None) is None
    assert devices.any_device_of(cookie) == devices.device_of(ANN, cookie)
    assert devices.any_device_of(None) is None


def test_each_device_has_its_own_id_which_it_keeps() -> None:
    devices = make_devices()
    first, second = issued(devices, ANN), issued(devices, ANN)
    assert devices.device_of(ANN, first) != devices.device_of(ANN, second)
    assert devices.device_of(ANN, issued(devices, ANN, first)) == devices.device_of(ANN, first)


def test_a_browser_is_a_device_of_the_last_users_who_signed_in_on_it() -> None:
    devices, users = make_devices(), [f"{number:024x}" for number in range(MAX_USERS + 1)]
    cookie = None
    for user in users:
        cookie = issued(devices, user, cookie)
    assert [user for user in users if devices.device_of(user, cookie)] == users[1:]


@pytest.mark.parametrize(
    "forged", ["", "~", "x", ".", f"{ANN}.{'0' * 32}.9999999999.{'0' * 64}", "\u00e9" * 9]
)
def test_a_forged_cookie_is_ignored(forged: str) -> None:
    devices = make_devices()
    assert devices.device_of(ANN, forged) is None
    assert devices.any_device_of(forged) is None
    assert "~" not in issued(devices, ANN, forged)


def test_a_cookie_cannot_be_changed_for_another_user_or_signed_with_another_key() -> None:
    devices = make_devices()
    cookie = issued(devices, ANN)
    assert devices.device_of(BOB, cookie.replace(ANN, BOB)) is None
    assert make_devices().device_of(ANN, cookie) is None


def test_a_device_stays_known_while_the_secret_is_replaced_and_its_next_cookie_needs_only_the_new_one() -> (
    None
):
    old, new = SecretStr("o" * 32), SecretStr("n" * 32)
    before = Devices(Settings(_env_file=None, internal_secret=old))
    meanwhile = Devices(Settings(_env_file=None, internal_secret=new, previous_internal_secret=old))
    afterwards = Devices(Settings(_env_file=None, internal_secret=new))
    cookie = issued(before, BOB, issued(before, ANN))
    device = before.device_of(ANN, cookie)
    assert device
    assert (meanwhile.device_of(ANN, cookie), afterwards.device_of(ANN, cookie)) == (device, None)
    renewed = issued(meanwhile, BOB, cookie)
    assert afterwards.device_of(ANN, renewed) == device


def test_a_cookie_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_devices()
    cookie = issued(made, ANN)
    monkeypatch.setattr(devices, "now", lambda: now() + LIFETIME + timedelta(seconds=1))
    assert made.device_of(ANN, cookie) is None


def test_scripts_cannot_read_the_cookie_and_over_tls_only_this_host_can_set_it() -> None:
    cookie = make_devices(secure=True).cookie(ANN, None)
    assert (cookie.key, cookie.secure, cookie.path, cookie.domain) == ("__Host-device", True, "/", None)
    assert (cookie.httponly, cookie.samesite, cookie.max_age) == (True, "lax", 365 * 86_400)
    assert make_devices().cookie(ANN, None).key == "device"

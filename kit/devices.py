"""Device cookies: a browser in which a user has signed in has its own count of failed attempts.

An attacker who makes many attempts with somebody's email address therefore can't lock out the owner. See
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies.
"""

import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256

from litestar.datastructures import Cookie

from contracts.devices import device_cookie
from contracts.wire import now
from kit.secrets import derived_keys
from settings import Settings

LIFETIME = timedelta(days=365)
MAX_USERS = 5
"""Users per browser whose attempts are counted separately: those who signed in last."""

_ENTRY = re.compile(r"(?P<user>[0-9a-f]{24})\.(?P<device>[0-9a-f]{32})\.(?P<expires>[0-9]{1,12})", re.ASCII)
_SEPARATOR = "~"


class Devices:
    """Issues and verifies device cookies. A cookie has a signed entry for each user: user, device, expiry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_secure = settings.cookie_secure
        self.name = device_cookie(self._is_secure)

    def device_of(self, user_id: str, cookie: str | None) -> str | None:
        """The id of the device, if this user has signed in on it before."""
        return next((entry["device"] for entry in self._valid(cookie) if entry["user"] == user_id), None)

    def any_device_of(self, cookie: str | None) -> str | None:
        """The id of the device, if any user has signed in on it before."""
        return next((entry["device"] for entry in self._valid(cookie)), None)

    def cookie(self, user_id: str, given: str | None) -> Cookie:
        """The cookie for a device on which this user has just signed in. `given` is its present cookie."""
        device = self.device_of(user_id, given) or secrets.token_hex(16)
        key = self._keys[0]
        entries = [_signed(f"{user_id}.{device}.{_seconds(now() + LIFETIME)}", key)]
        entries += [_signed(entry[0], key) for entry in self._valid(given) if entry["user"] != user_id]
        return Cookie(
            key=self.name,
            value=_SEPARATOR.join(entries[:MAX_USERS]),
            path="/",
            httponly=True,
            samesite="lax",
            secure=self._is_secure,
            max_age=int(LIFETIME.total_seconds()),
        )

    def _valid(self, cookie: str | None) -> Iterator[re.Match[str]]:
        """The entries with a valid signature that haven't expired."""
        for text in (cookie or "").split(_SEPARATOR)[:MAX_USERS]:
            entry = _ENTRY.fullmatch(text.rpartition(".")[0])
            if entry and self._is_signed(text, entry[0]) and int(entry["expires"]) > _seconds(now()):
                yield entry

    def _is_signed(self, text: str, entry: str) -> bool:
        return any(hmac.compare_digest(_signed(entry, key).encode(), text.encode()) for key in self._keys)

    @cached_property
    def _keys(self) -> Sequence[bytes]:
        """The key that signs, and all others whose signatures are accepted."""
        return derived_keys(self._settings, b"device cookie")


def _signed(entry: str, key: bytes) -> str:
    return f"{entry}.{hmac.new(key, entry.encode(), sha256).hexdigest()}"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())

"""Device cookies: a browser in which a user has signed in has its own count of failed attempts.

An attacker who makes many attempts with somebody's email address therefore can't lock out the owner. See
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies.
"""

import hmac
import re
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256

from litestar.datastructures import Cookie

from contracts.devices import device_cookie
from contracts.wire import now
from kit.secrets import internal_secret
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
        entries = [self._signed(f"{user_id}.{device}.{_seconds(now() + LIFETIME)}")]
        entries += [self._signed(entry[0]) for entry in self._valid(given) if entry["user"] != user_id]
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
            is_signed = entry and hmac.compare_digest(self._signed(entry[0]).encode(), text.encode())
            if entry and is_signed and int(entry["expires"]) > _seconds(now()):
                yield entry

    @cached_property
    def _key(self) -> bytes:
        return hmac.new(internal_secret(self._settings).encode(), b"device cookie", sha256).digest()

    def _signed(self, entry: str) -> str:
        return f"{entry}.{hmac.new(self._key, entry.encode(), sha256).hexdigest()}"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())

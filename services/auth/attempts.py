"""Slows down guessing: limits failed attempts per account, device and network, and raises an alarm."""

from dataclasses import dataclass
from hashlib import sha256

from kit.alerts import alert
from kit.networks import WIDE_FACTOR, Networks, networks_of
from kit.rate_limits import count, require_fewer
from services.auth.documents import Failures
from settings import Settings

FAILED = "failed-sign-in"
HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Client:
    """Where an attempt comes from."""

    address: str
    device_cookie: str | None = None
    user_agent: str | None = None

    @property
    def networks(self) -> Networks | None:
        return networks_of(self.address)


@dataclass(frozen=True)
class Attempts:
    """Counts attempts with a password. Those with the same key are counted together."""

    settings: Settings

    async def begin(self, key: str, client: Client) -> None:
        """Count an attempt before its password is checked, unless there were too many failed ones.

        Raises:
            TooManyRequests: the networks of the client had too many failed attempts within this hour.
            TooManyFailures: the delay after the last failed attempt isn't over.
        """
        for network, most in self._limits_of(client):
            await require_fewer(FAILED, network, most, window=HOUR_SECONDS)
        if self.settings.max_failed_sign_ins:
            await Failures.count_attempt(key, self.settings.max_failed_sign_ins)

    async def succeeded(self, key: str) -> None:
        """Forget the failed attempts with this key."""
        if self.settings.max_failed_sign_ins:
            await Failures.forget(key)

    async def failed(self, client: Client) -> None:
        """Count a failed attempt of the client's networks. Alert operators if there are too many overall."""
        for network, _ in self._limits_of(client):
            await count(FAILED, network, window=HOUR_SECONDS)
        most = self.settings.alarm_failed_sign_ins
        if most and await count(FAILED, "all") == most + 1:
            alert("failed_sign_ins", "more than %s failed sign-ins within a minute", most)

    def _limits_of(self, client: Client) -> list[tuple[str, int]]:
        most, networks = self.settings.max_failures_per_network, client.networks
        if networks is None or not most:
            return []
        return [(networks.narrow, most), (networks.wide, most * WIDE_FACTOR)]


def key_of_account(email: str) -> str:
    """The key of attempts with this address. Hashed, because somebody may type a password instead."""
    return f"account:{sha256(email.encode()).hexdigest()}"

"""Errors of auth, and the delay after failed attempts."""

import math
from datetime import timedelta
from typing import Self

from kit.errors import Conflict, Forbidden, Invalid, NotSignedIn, TooManyRequests

MAX_DELAY = timedelta(minutes=15)


def delay_after(failures: int, free: int) -> timedelta:
    """How long further attempts are rejected after this many failed ones: 1, 2, 4 ... seconds.

    Args:
        free: the number of failed attempts before the first delay.
    """
    if failures < free:
        return timedelta()
    return min(timedelta(seconds=2 ** min(failures - free, 10)), MAX_DELAY)


class EmailInUse(Conflict):
    message = "Email in use"


class WeakPassword(Invalid):
    message = "Password is too easy to guess"


class InvalidCredentials(NotSignedIn):
    """Unknown user or wrong password.

    The error is the same for both, so that nobody can find out which addresses have accounts.
    """

    message = "Invalid credentials"


class WrongPassword(Forbidden):
    message = "Your current password is wrong"


class TooManyFailures(TooManyRequests):
    """There were too many failed attempts with this account, whether it exists or not."""

    @classmethod
    def until(cls, delay: timedelta) -> Self:
        seconds = max(1, math.ceil(delay.total_seconds()))
        wait = f"{seconds} seconds" if seconds < 60 else f"{math.ceil(seconds / 60)} minutes"
        return cls(f"There were too many failed attempts. Try again in {wait}", retry_after=seconds)

"""A process of the marketplace as chaos runs it: with a clock that can be shifted, a shorter ack wait, cheap
password hashes, and optionally without one of its guards.

Used as `granian … tests.resilience.chaos.process:app`, and as
`python -m tests.resilience.chaos.process` to provision streams and create indexes.
"""

import importlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from contracts import wire
from tests.resilience.chaos.guards import GUARDS

APP = "CHAOS_APP"
"""The app, as `module:function`."""
AUTH = "streams.auth:app"
MAIL = "streams.mail:app"
CLOCK = "CHAOS_CLOCK"
"""The environment variable that names a file with the seconds by which this process's clock is fast."""
WITHOUT = "CHAOS_WITHOUT"
"""The environment variable that names the guard to remove."""

ACK_WAIT = timedelta(seconds=8)
"""Time after which an unacknowledged message is redelivered.

It is shorter than usual, so that the messages of a process that is paused for ten seconds are redelivered.
"""

MAIL_TIMES: Mapping[str, Mapping[str, Any]] = {
    "services.mail.sender": {
        "SECONDS": 5,
        "CLAIM": timedelta(seconds=16),
        "FIRST_PAUSE": 0.5,
        "MAX_PAUSE": 4.0,
    },
    "services.mail.rules": {"FIRST_DELAY": timedelta(seconds=1), "MAX_DELAY": timedelta(seconds=8)},
}
"""Shorter times between two attempts to send a message, so that a run need not wait for minutes."""


def _shift_clock(file: Path) -> None:
    """Patch the two functions that tell the time. Durations are measured with the monotonic clock."""
    true_now, true_time = wire.now, time.time

    def ahead() -> float:
        with suppress(OSError, ValueError):
            return float(file.read_text())
        return 0.0

    def now() -> datetime:
        return true_now() + timedelta(seconds=ahead())

    def seconds() -> float:
        return true_time() + ahead()

    wire.now = now
    time.time = seconds


def prepare(environment: Mapping[str, str]) -> None:
    """Patch the process, before any module of the service is imported."""
    if file := environment.get(CLOCK):
        _shift_clock(Path(file))
    topology = importlib.import_module("streams.topology")
    topology.__dict__["ACK_WAIT"] = ACK_WAIT
    if environment.get(APP) == AUTH:
        passwords = importlib.import_module("services.auth.passwords")
        passwords.__dict__["PasswordHasher"] = partial(
            passwords.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1
        )
    if environment.get(APP) == MAIL:
        for module, times in MAIL_TIMES.items():
            importlib.import_module(module).__dict__.update(times)
    if guard := environment.get(WITHOUT):
        GUARDS[guard].remove()


def app() -> Any:
    """The app factory for `granian --factory`."""
    prepare(os.environ)
    module, _, factory = os.environ[APP].partition(":")
    return getattr(importlib.import_module(module), factory)()


if __name__ == "__main__":
    prepare(os.environ)
    importlib.import_module("ops.__main__").cli(["provision", "--migrate"])

"""A process of the marketplace as chaos runs it: the real one, with a clock that can be shifted, patience
that is shorter, and perhaps without one of its guards.

Used as `granian … tests.chaos.process:app` and as `python -m tests.chaos.process` for provisioning.
"""

import asyncio
import importlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from contracts import wire
from tests.chaos.guards import GUARDS

APP = "CHAOS_APP"
"""What runs, as granian names it."""
CLOCK = "CHAOS_CLOCK"
"""A file with the seconds by which the clock of this process goes ahead."""
WITHOUT = "CHAOS_WITHOUT"
"""The guard that is taken away."""

ACK_WAIT = timedelta(seconds=8)
"""Instead of a minute: a process that is paused for ten seconds is one whose messages went to others."""


def _shift_clock(file: Path) -> None:
    """Everybody imports these two; what measures durations has a clock of its own."""
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
    """Before anything of the service is imported."""
    if file := environment.get(CLOCK):
        _shift_clock(Path(file))
    topology = importlib.import_module("streams.topology")
    topology.__dict__["ACK_WAIT"] = ACK_WAIT
    if guard := environment.get(WITHOUT):
        GUARDS[guard].take_away()


def app() -> Any:
    """For `granian --factory`."""
    prepare(os.environ)
    module, _, factory = os.environ[APP].partition(":")
    return getattr(importlib.import_module(module), factory)()


if __name__ == "__main__":
    prepare(os.environ)
    asyncio.run(importlib.import_module("streams.topology").main())

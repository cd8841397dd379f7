"""A process of the marketplace that measures, and looks for gaps, every second.

It usually does so every 15 or 30 seconds, for which a test of metrics and alerts would wait.
"""

import os
from dataclasses import replace
from importlib import import_module
from typing import Any
from unittest.mock import patch

from sandbox.processes import Process
from tests.support.service import cheap_passwords

SECONDS = 1.0
PERIODS = {
    "web.app": ("web.health.MEASURE_SECONDS",),
    "streams": (
        "streams.app.MEASURE_SECONDS",
        "streams.bus.CHECK_SECONDS",
        "streams.missed_events.LOOK_SECONDS",
    ),
    "streams.mail": ("streams.mail.MEASURE_SECONDS",),
    "streams.payments": ("streams.payments.MEASURE_SECONDS",),
}
"""The times between two measurements, by the beginning of the names of the modules whose app uses them."""

APP = "OFTEN_APP"
"""The environment variable that names the app, as `module:function`."""


def often(process: Process) -> Process:
    """The process with the short times, and if it is auth, with a fast, insecure password hash."""
    server, given, *arguments = process.command
    command = (server, f"{__name__}:app", *arguments)
    return replace(process, command=command, environment={**process.environment, APP: given})


def app() -> Any:
    """The app factory for `granian --factory`."""
    module, _, factory = os.environ[APP].partition(":")
    for beginning, names in PERIODS.items():
        for name in names if module.startswith(beginning) else ():
            patch(name, SECONDS).start()
    if module == "streams.auth":
        patch("streams.auth.Passwords", cheap_passwords).start()
    return getattr(import_module(module), factory)()

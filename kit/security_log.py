"""The security log: one line of JSON for each event that matters in an investigation.

docs/security.md lists the events. An event contains no email address, password or token, and no text that a
user wrote. Events about orders and tickets contain the reasons that operators wrote.
"""

import hmac
import json
import logging
from collections import Counter as Counts
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from prometheus_client import Counter

from contracts.wire import now
from kit.errors import ServiceError
from kit.logs import EXTRA
from kit.networks import networks_of

log = logging.getLogger("security")

Outcome = Literal["success", "failure", "refused"]

EVENTS = Counter(
    "stagedoor_security_events",
    "Events of the security log, also those that were too many to log",
    ["event", "outcome"],
)

MAX_ALIKE = 20
"""Lines per minute about one event, outcome and actor or network. More would let an attacker fill the log."""

MAX_KINDS = 10_000
"""Combinations of event, outcome and actor or network that are counted in a minute: about 2 MB."""

OPERATOR = "operator"
"""The actor of events of operators. They need a token, so no number of them is a flood."""

_network: ContextVar[str | None] = ContextVar("network", default=None)


def remember_client(address: str) -> None:
    """Name the network of this client in all events of the current task."""
    networks = networks_of(address)
    _network.set(networks.narrow if networks else address)


def record(event: str, outcome: Outcome, *, actor: str | None = None, **details: str | int | None) -> None:
    """Write an event with the time and the client's network.

    Args:
        event: what was tried; a label of the metric `stagedoor_security_events_total`.
        actor: the id of the user, or `OPERATOR`.
        details: what else helps an investigation.
    """
    EVENTS.labels(event, outcome).inc()
    network = _network.get()
    if actor != OPERATOR and _floods.is_flooded_by((event, outcome, actor or network)):
        return
    fields: dict[str, str | int | None] = {
        "time": now().isoformat(),
        "event": event,
        "outcome": outcome,
        "actor": actor,
        "network": network,
    }
    known = {name: value for name, value in {**fields, **details}.items() if value is not None}
    _write(logging.INFO, known, f"{event} {outcome}")


def _write(level: int, fields: Mapping[str, str | int | None], summary: str) -> None:
    """Write the fields as JSON, or as a part of the line if all lines are JSON."""
    log.log(level, json.dumps(fields), extra={EXTRA: {"message": summary, "security": fields}})


@dataclass
class Attempt:
    """An attempt that is being recorded."""

    actor: str | None = None
    """The user, as soon as it is known."""


@contextmanager
def recorded(event: str, *, actor: str | None = None, **details: str | int | None) -> Iterator[Attempt]:
    """Record how the block ends: `success`, or `failure` with the kind of the error."""
    attempt = Attempt(actor)
    try:
        yield attempt
    except ServiceError as error:
        record(event, "failure", actor=attempt.actor, reason=type(error).__name__, **details)
        raise
    record(event, "success", actor=attempt.actor, **details)


def pseudonym(text: str, secret: str) -> str:
    """The same short code for the same text, from which nobody without the secret can find the text."""
    return hmac.new(f"security log {secret}".encode(), text.encode(), sha256).hexdigest()[:16]


class _Floods:
    """Counts the events of the current minute."""

    def __init__(self) -> None:
        self._counts: Counts[object] = Counts()
        self._minute = 0
        self._omitted = 0

    def is_flooded_by(self, kind: object) -> bool:
        minute = int(now().timestamp() // 60)
        if minute != self._minute:
            self._begin(minute)
        if kind in self._counts or len(self._counts) < MAX_KINDS:
            self._counts[kind] += 1
            is_too_much = self._counts[kind] > MAX_ALIKE
        else:
            is_too_much = True
        self._omitted += is_too_much
        return is_too_much

    def _begin(self, minute: int) -> None:
        if self._omitted:
            omitted: dict[str, str | int | None] = {
                "time": now().isoformat(),
                "event": "omitted",
                "count": self._omitted,
            }
            _write(logging.WARNING, omitted, "omitted")
        self._counts.clear()
        self._minute, self._omitted = minute, 0


_floods = _Floods()

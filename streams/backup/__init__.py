"""All that is stored, in a folder, and back again: `just backup FOLDER`, `just restore FOLDER`.

docs/decisions/0018-backups.md says why it is done in this order.
"""

from settings import ServiceName
from streams.topology import DEAD, EVENTS, TIMERS

DATABASES: tuple[ServiceName, ...] = ("auth", "tickets", "orders", "payments")

STREAMS = (EVENTS, TIMERS, DEAD)
"""In this order: who has acknowledged an event has set its timer, or buried it, before that."""


class BackupError(Exception):
    """Says in a sentence why there is no backup, or none was restored."""

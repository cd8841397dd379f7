"""Back up all databases and streams into a folder, and restore them.

docs/decisions/0018-backups.md explains the order of the steps.
"""

from kit.nats import EVENTS
from ops.errors import CommandError
from streams.topology import DEAD, TIMERS

STREAMS = (EVENTS, TIMERS, DEAD)
"""The streams in the order in which they are saved. A consumer sets a timer or stores a dead letter before it
acknowledges the event. So with EVENTS first, the later snapshots contain the timers and dead letters of all
acknowledged events.
"""


class BackupError(CommandError):
    """The backup or restore failed. The message says why."""

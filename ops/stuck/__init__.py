"""Finds states that last too long, each with the reason and the component that is awaited. Writes nothing.

The records of several services are read one after the other while people buy, so a finding counts only if it
is still there a moment later.
"""

from ops.stuck.states import STATES, Finding, State, lasted
from ops.stuck.watcher import overdue, overdue_gauge, show_in, stuck, watch

__all__ = ["STATES", "Finding", "State", "lasted", "overdue", "overdue_gauge", "show_in", "stuck", "watch"]

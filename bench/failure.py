"""Why a workload has no figures."""


class Failed(Exception):
    """A workload could not be measured. The message says why."""

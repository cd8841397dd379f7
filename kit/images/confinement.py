"""Limits of a process that reads what somebody has uploaded."""

import resource
import signal


def confine(cpu_seconds: int, memory_mb: int) -> None:
    """Limit this process: it can write no files, and is ended if it takes too long. 0 means no limit."""
    # Ctrl+C reaches all processes of a terminal. The process that began it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    if cpu_seconds:
        _limit(resource.RLIMIT_CPU, cpu_seconds)
    if memory_mb:
        _limit(resource.RLIMIT_AS, memory_mb * 1024 * 1024)


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))

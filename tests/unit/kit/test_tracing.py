import re
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

import pytest

from kit.tracing import continue_trace, current_trace, trace_id, traceparent

T = TypeVar("T")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def in_separate_context(work: Callable[[], T]) -> T:
    """Run `work` in a copy of the context, so that its changes don't affect other tests."""
    return copy_context().run(work)


def trace_after(given: str | None) -> str:
    def work() -> str:
        continue_trace(given)
        return trace_id()

    return in_separate_context(work)


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_callers_trace_is_continued(flags: str) -> None:
    assert trace_after(f"00-{TRACE}-{PARENT}-{flags}") == TRACE


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_a_request_without_a_valid_trace_starts_a_new_trace(given: str | None) -> None:
    first, second = trace_after(given), trace_after(given)
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert TRACE != first != second


def test_the_next_hop_gets_the_same_trace_and_another_parent() -> None:
    def hops() -> tuple[str, str]:
        continue_trace(f"00-{TRACE}-{PARENT}-01")
        return traceparent(), traceparent()

    first, second = in_separate_context(hops)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", first)
    assert PARENT not in first
    assert first != second
    assert trace_after(first) == TRACE


def test_a_context_without_a_trace_starts_one_and_keeps_it() -> None:
    def work() -> tuple[str | None, str, str, str | None]:
        return current_trace(), trace_id(), trace_id(), current_trace()

    before, first, second, after = in_separate_context(work)
    assert before is None
    assert first == second == after


def test_a_new_request_does_not_inherit_the_trace_of_the_last_request() -> None:
    def work() -> str:
        continue_trace(f"00-{TRACE}-{PARENT}-01")
        continue_trace(None)
        return trace_id()

    assert in_separate_context(work) != TRACE

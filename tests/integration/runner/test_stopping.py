"""How the runner stops all of its processes."""

import os
import signal
import time
from pathlib import Path

import pytest

from sandbox.lock import locked
from tests.integration.runner.runner_process import (
    command,
    crash,
    is_running,
    running,
    server,
    wait_until_ended,
)
from tests.support.polling import TIMEOUT


async def test_ctrl_c_stops_all_processes_within_five_seconds_even_if_one_ignores_sigterm(
    tmp_path: Path,
) -> None:
    for _ in range(5):  # repeated, because a busy machine may take longer
        bus = server("bus", "stubborn")
        async with running(tmp_path, [bus], [server("auth", "parent"), server("web", "stubborn")]) as run:
            await run.wait_for_output("Stagedoor is ready")
            assert len(run.pids) == 4
            started = time.monotonic()
            run.process.send_signal(signal.SIGINT)
            assert await run.wait() == 0
            seconds = time.monotonic() - started
            assert not any(is_running(pid) for pid in run.pids)
            assert "web  | didn't stop in time and was killed" in run.lines
        if seconds < 5:
            return
    raise AssertionError(f"it took {seconds:.1f} s")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
async def test_sigterm_and_sighup_stop_all_processes(tmp_path: Path, sent: signal.Signals) -> None:
    async with running(tmp_path, [server("bus")], [server("web", "parent")]) as run:
        await run.wait_for_output("Stagedoor is ready")
        run.process.send_signal(sent)
        assert await run.wait() == 0
        assert not any(is_running(pid) for pid in run.pids)


async def test_groups_stop_in_reverse_order(tmp_path: Path) -> None:
    stack = [server("bus")], [server("auth"), server("web")]
    async with running(tmp_path, *stack, stop_within=TIMEOUT) as run:  # long enough to prevent kills
        await run.wait_for_output("Stagedoor is ready")
        run.process.send_signal(signal.SIGTERM)
        await run.wait()
        stopping = [line.split()[0] for line in run.lines if line.endswith("| stopping")]
        assert sorted(stopping[:2]) == ["auth", "web"]
        assert stopping[2:] == ["bus"]


async def test_a_signal_during_the_start_stops_the_started_processes(tmp_path: Path) -> None:
    late = server("late")
    late["command"] = command("late", "import signal; print('started'); signal.pause()")["command"]
    async with running(tmp_path, [server("bus")], [late]) as run:
        await run.wait_for_output("started")
        run.process.send_signal(signal.SIGINT)
        assert await run.wait() == 0
        assert not any(is_running(pid) for pid in run.pids)


async def test_when_a_process_ends_the_runner_stops_the_others_and_names_it_in_the_error(
    tmp_path: Path,
) -> None:
    auth = server("auth")
    async with running(tmp_path, [server("bus")], [auth, server("web", "parent")]) as run:
        await run.wait_for_output("Stagedoor is ready")
        crash(auth)
        assert await run.wait() == 1
        reason = run.lines.index("auth ended with code 3")
        assert run.lines[reason + 1 :][-1] == "  auth | the disk is full"
        assert all(line.startswith("  auth | ") for line in run.lines[reason + 1 :])
        assert not any(is_running(pid) for pid in run.pids)


async def test_no_further_group_starts_after_a_command_has_failed(tmp_path: Path) -> None:
    failing = command("provision", "raise SystemExit('no stream')")
    async with running(tmp_path, [server("bus")], [failing], [server("web")]) as run:
        assert await run.wait() == 1
        assert run.lines[-2:] == ["provision ended with code 1", "  provision | no stream"]
        assert not any(line.startswith("web") for line in run.lines)


async def test_the_error_for_a_killed_process_names_the_signal(tmp_path: Path) -> None:
    async with running(tmp_path, [server("web")]) as run:
        await run.wait_for_output("Stagedoor is ready")
        os.kill(run.pids[0], signal.SIGKILL)
        assert await run.wait() == 1
        assert "web was ended by SIGKILL" in run.lines


async def test_a_killed_runner_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    async with running(tmp_path, [server("bus")], [server("web", "parent", "stubborn")]) as run:
        await run.wait_for_output("Stagedoor is ready")
        run.process.kill()
        await run.process.wait()
        await wait_until_ended(run.pids)
        await run.wait()
    async with running(tmp_path, [server("web")]) as again:
        await again.wait_for_output("Stagedoor is ready")


async def test_the_lock_is_free_after_a_stop(tmp_path: Path) -> None:
    async with running(tmp_path, [server("web")]) as run:
        await run.wait_for_output("Stagedoor is ready")
    with locked(tmp_path):
        pass

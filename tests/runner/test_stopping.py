import os
import signal
import time
from pathlib import Path

import pytest

from sandbox.lock import locked
from tests.people import PATIENCE
from tests.runner.stacks import alive, command, die, running, server, until_gone


async def test_ctrl_c_stops_everything_in_five_seconds_the_stubborn_too(tmp_path: Path) -> None:
    for _ in range(5):  # a machine that is busy elsewhere may take more than there is to spare
        bus = server("bus", "stubborn")
        async with running(tmp_path, [bus], [server("auth", "parent"), server("web", "stubborn")]) as run:
            await run.until("Stagedoor is ready")
            assert len(run.pids) == 4
            started = time.monotonic()
            run.process.send_signal(signal.SIGINT)
            assert await run.ended() == 0
            seconds = time.monotonic() - started
            assert not any(alive(pid) for pid in run.pids)
            assert "web  | didn't stop in time and was killed" in run.lines
        if seconds < 5:
            return
    raise AssertionError(f"it took {seconds:.1f} s")


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGHUP])
async def test_other_requests_to_end_do_the_same(tmp_path: Path, asked: signal.Signals) -> None:
    async with running(tmp_path, [server("bus")], [server("web", "parent")]) as run:
        await run.until("Stagedoor is ready")
        run.process.send_signal(asked)
        assert await run.ended() == 0
        assert not any(alive(pid) for pid in run.pids)


async def test_what_started_last_stops_first(tmp_path: Path) -> None:
    stack = [server("bus")], [server("auth"), server("web")]
    async with running(tmp_path, *stack, stop_within=PATIENCE) as run:  # none is killed before it says so
        await run.until("Stagedoor is ready")
        run.process.send_signal(signal.SIGTERM)
        await run.ended()
        stopping = [line.split()[0] for line in run.lines if line.endswith("| stopping")]
        assert sorted(stopping[:2]) == ["auth", "web"]
        assert stopping[2:] == ["bus"]


async def test_a_signal_while_starting_stops_what_was_started(tmp_path: Path) -> None:
    late = server("late")
    late["command"] = command("late", "import signal; print('here'); signal.pause()")["command"]
    async with running(tmp_path, [server("bus")], [late]) as run:
        await run.until("here")
        run.process.send_signal(signal.SIGINT)
        assert await run.ended() == 0
        assert not any(alive(pid) for pid in run.pids)


async def test_a_process_that_dies_stops_the_others_and_is_named_last(tmp_path: Path) -> None:
    auth = server("auth")
    async with running(tmp_path, [server("bus")], [auth, server("web", "parent")]) as run:
        await run.until("Stagedoor is ready")
        die(auth)
        assert await run.ended() == 1
        reason = run.lines.index("auth ended with code 3")
        assert run.lines[reason + 1 :][-1] == "  auth | the disk is full"
        assert all(line.startswith("  auth | ") for line in run.lines[reason + 1 :])
        assert not any(alive(pid) for pid in run.pids)


async def test_a_command_that_fails_keeps_the_rest_from_starting(tmp_path: Path) -> None:
    failing = command("provision", "raise SystemExit('no stream')")
    async with running(tmp_path, [server("bus")], [failing], [server("web")]) as run:
        assert await run.ended() == 1
        assert run.lines[-2:] == ["provision ended with code 1", "  provision | no stream"]
        assert not any(line.startswith("web") for line in run.lines)


async def test_a_killed_process_is_named_with_the_signal(tmp_path: Path) -> None:
    async with running(tmp_path, [server("web")]) as run:
        await run.until("Stagedoor is ready")
        os.kill(run.pids[0], signal.SIGKILL)
        assert await run.ended() == 1
        assert "web was ended by SIGKILL" in run.lines


async def test_a_killed_runner_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    async with running(tmp_path, [server("bus")], [server("web", "parent", "stubborn")]) as run:
        await run.until("Stagedoor is ready")
        run.process.kill()
        await run.process.wait()
        await until_gone(run.pids)
        await run.ended()
    async with running(tmp_path, [server("web")]) as again:
        await again.until("Stagedoor is ready")


async def test_the_lock_is_free_after_a_stop(tmp_path: Path) -> None:
    async with running(tmp_path, [server("web")]) as run:
        await run.until("Stagedoor is ready")
    with locked(tmp_path):
        pass

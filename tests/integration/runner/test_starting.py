"""How the runner starts processes in groups, and its errors."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.lock import NAME
from sandbox.processes import ROOT
from tests.integration.runner.runner_process import command, running, server


async def test_the_runner_prints_the_url_when_all_processes_are_ready(tmp_path: Path) -> None:
    async with running(tmp_path, [server("bus"), server("database")], [server("web")]) as run:
        ready = await run.wait_for_output("Stagedoor is ready")
        assert ready.startswith("Stagedoor is ready: http://localhost:3500 (")
        assert len(run.pids) == 3


async def test_outside_a_terminal_process_names_are_aligned_and_have_no_color(tmp_path: Path) -> None:
    async with running(tmp_path, [server("bus"), server("database")]) as run:
        await run.wait_for_output("Stagedoor is ready")
        assert any(line.startswith("bus      | pid ") for line in run.lines)
        assert not any("\x1b" in line for line in run.lines)


async def test_a_group_starts_after_the_command_of_the_previous_group_has_ended(tmp_path: Path) -> None:
    signal_file = tmp_path / "go"
    waits = f"while not pathlib.Path({str(signal_file)!r}).exists(): time.sleep(0.01)"
    waits = f"import pathlib, time\nprint('waiting')\n{waits}"
    web = server("web")
    async with running(tmp_path, [command("provision", waits)], [web]) as run:
        await run.wait_for_output("waiting")
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", web["port"])) != 0
        signal_file.touch()
        await run.wait_for_output("web       | pid")
        await run.wait_for_output("Stagedoor is ready")


async def test_the_runner_starts_no_process_when_a_port_is_in_use(tmp_path: Path) -> None:
    auth, web = server("auth"), server("web")
    with socket.create_server(("127.0.0.1", auth["port"])):
        async with running(tmp_path, [web], [auth]) as run:
            assert await run.wait() == 1
            assert run.lines[-1] == f"Port {auth['port']} (auth) is in use. Set AUTH_PORT to another port."
            assert not run.pids


async def test_the_runner_starts_no_process_when_two_processes_have_the_same_port(tmp_path: Path) -> None:
    auth, web = server("auth"), server("web")
    web["port"] = auth["port"]
    async with running(tmp_path, [auth, web]) as run:
        assert await run.wait() == 1
        refusal = (
            f"Port {auth['port']} is assigned to auth and web. Set AUTH_PORT or WEB_PORT to another port."
        )
        assert run.lines[-1] == refusal


async def test_a_second_runner_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, [server("web")]) as first:
        await first.wait_for_output("Stagedoor is ready")
        async with running(tmp_path, [server("web")]) as second:
            assert await second.wait() == 1
            assert second.lines[-1].startswith(f"Stagedoor is already running in {tmp_path}.")


async def test_the_error_for_a_process_that_does_not_become_ready_gives_the_reason(
    tmp_path: Path,
) -> None:
    web = server("web")
    web["command"] = ["/bin/sh", "-c", "echo starting; exec sleep 600"]
    web["ready_within"] = 2.0
    async with running(tmp_path, [web]) as run:
        assert await run.wait() == 1
        reason = f"web wasn't ready within 2 s: nothing listens on port {web['port']}"
        assert run.lines[-2:] == [reason, "  web | starting"]


async def test_a_process_may_wait_for_a_command_of_its_group_longer_than_for_anything_else(
    tmp_path: Path,
) -> None:
    """A command may build an index for hours, without which a service isn't ready."""
    web, ended = server("web"), tmp_path / "ended"
    start = " ".join(web["command"])
    web["command"] = ["/bin/sh", "-c", f"until [ -e {ended} ]; do sleep 0.05; done; exec {start}"]
    web["ready_within"] = 1.0
    build = f"import pathlib, time\ntime.sleep(3)\npathlib.Path({str(ended)!r}).touch()\ntime.sleep(0.5)"
    async with running(tmp_path, [command("migrate", build), web]) as run:
        await run.wait_for_output("Stagedoor is ready")


async def test_the_error_for_a_missing_program_suggests_just_setup(tmp_path: Path) -> None:
    async with running(tmp_path, [{"name": "nats", "command": [str(tmp_path / "nats-server")]}]) as run:
        assert await run.wait() == 1
        assert run.lines[-1].startswith("nats can't start: ")
        assert run.lines[-1].endswith("Run `just setup`.")


async def test_routine_output_is_shown_only_when_the_process_fails(tmp_path: Path) -> None:
    bus = command("bus", "print('[INF] hello')\nprint('[ERR] trouble')\nraise SystemExit(4)")
    bus["chatter"] = "[INF]"
    async with running(tmp_path, [bus]) as run:
        assert await run.wait() == 1
        assert "bus | [INF] hello" not in run.lines
        assert "bus | [ERR] trouble" in run.lines
        assert run.lines[-3:] == ["bus ended with code 4", "  bus | [INF] hello", "  bus | [ERR] trouble"]


@pytest.mark.parametrize("program", ["sandbox.up", "sandbox.offline"])
def test_only_the_owner_can_read_what_the_stack_writes(program: str, tmp_path: Path) -> None:
    """Every process inherits the umask with which the lock is created."""
    folder = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as occupied:  # so that `up` starts no process
        environment = {
            **os.environ,
            "DATA_DIR": str(folder),
            "WEB_PORT": str(occupied.getsockname()[1]),
            "NATS_URL": "nats://127.0.0.1:9",
            "MONGO_URL": "mongodb://127.0.0.1:9",
        }
        command = [sys.executable, "-m", program, "--help"]
        subprocess.run(command, cwd=ROOT, env=environment, umask=0, capture_output=True, check=False)  # noqa: S603
    modes = [stat.filemode(path.stat().st_mode) for path in (folder, folder / NAME)]
    assert modes == ["drwx------", "-rw-------"]

import socket
from pathlib import Path

from tests.runner.stacks import command, running, server


async def test_says_where_it_is_once_all_are_ready(tmp_path: Path) -> None:
    async with running(tmp_path, [server("bus"), server("database")], [server("web")]) as run:
        ready = await run.until("Stagedoor is ready")
        assert ready.startswith("Stagedoor is ready: http://localhost:3500 (")
        assert len(run.pids) == 3


async def test_names_are_aligned_and_uncoloured_away_from_a_terminal(tmp_path: Path) -> None:
    async with running(tmp_path, [server("bus"), server("database")]) as run:
        await run.until("Stagedoor is ready")
        assert any(line.startswith("bus      | pid ") for line in run.lines)
        assert not any("\x1b" in line for line in run.lines)


async def test_a_group_waits_until_the_command_before_it_has_ended(tmp_path: Path) -> None:
    go = tmp_path / "go"
    waits = f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"
    waits = f"import pathlib, time\nprint('waiting')\n{waits}"
    web = server("web")
    async with running(tmp_path, [command("provision", waits)], [web]) as run:
        await run.until("waiting")
        with socket.socket() as visitor:
            assert visitor.connect_ex(("127.0.0.1", web["port"])) != 0
        go.touch()
        await run.until("web       | pid")
        await run.until("Stagedoor is ready")


async def test_a_port_in_use_is_named_with_its_setting_and_nothing_starts(tmp_path: Path) -> None:
    auth, web = server("auth"), server("web")
    with socket.create_server(("127.0.0.1", auth["port"])):
        async with running(tmp_path, [web], [auth]) as run:
            assert await run.ended() == 1
            assert run.lines[-1] == f"Port {auth['port']} (auth) is in use. Set AUTH_PORT to another one."
            assert not run.pids


async def test_one_port_for_two_processes_is_refused(tmp_path: Path) -> None:
    auth, web = server("auth"), server("web")
    web["port"] = auth["port"]
    async with running(tmp_path, [auth, web]) as run:
        assert await run.ended() == 1
        refusal = f"Port {auth['port']} is given to auth and web. Set AUTH_PORT or WEB_PORT to another one."
        assert run.lines[-1] == refusal


async def test_a_second_stack_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, [server("web")]) as first:
        await first.until("Stagedoor is ready")
        async with running(tmp_path, [server("web")]) as second:
            assert await second.ended() == 1
            assert second.lines[-1].startswith(f"Stagedoor is already running in {tmp_path}.")


async def test_a_process_that_never_gets_ready_is_named_with_what_is_missing(tmp_path: Path) -> None:
    web = server("web")
    web["command"] = ["/bin/sh", "-c", "echo hm; exec sleep 600"]
    web["ready_within"] = 2.0
    async with running(tmp_path, [web]) as run:
        assert await run.ended() == 1
        reason = f"web wasn't ready within 2 s: nothing listens on port {web['port']}"
        assert run.lines[-2:] == [reason, "  web | hm"]


async def test_a_program_that_is_not_installed_is_named_with_the_remedy(tmp_path: Path) -> None:
    async with running(tmp_path, [{"name": "nats", "command": [str(tmp_path / "nats-server")]}]) as run:
        assert await run.ended() == 1
        assert run.lines[-1].startswith("nats can't start: ")
        assert run.lines[-1].endswith("Run `just setup`.")


async def test_chatter_is_shown_only_when_the_process_fails(tmp_path: Path) -> None:
    bus = command("bus", "print('[INF] hello')\nprint('[ERR] trouble')\nraise SystemExit(4)")
    bus["chatter"] = "[INF]"
    async with running(tmp_path, [bus]) as run:
        assert await run.ended() == 1
        assert "bus | [INF] hello" not in run.lines
        assert "bus | [ERR] trouble" in run.lines
        assert run.lines[-3:] == ["bus ended with code 4", "  bus | [INF] hello", "  bus | [ERR] trouble"]

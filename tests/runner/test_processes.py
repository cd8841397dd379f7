import asyncio
import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from pymongo import AsyncMongoClient

import settings
from sandbox.lock import NAME, Refused, locked
from sandbox.processes import LIMITS, ROOT, answering, groups, service
from sandbox.reset import reset
from sandbox.testing import free_port, mongo_server, nats_server


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # away from .env
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def given(**values: object) -> settings.Settings:
    return settings.Settings.model_validate(values)


def names(chosen: settings.Settings) -> list[list[str]]:
    return [[process.name for process in group] for group in groups(chosen)]


def test_everything_embedded_runs_unless_something_else_is_given() -> None:
    services = ["auth", "tickets", "orders", "payments", "expiration", "web"]
    assert names(given()) == [["nats", "mongo"], ["provision", "stripe"], services]
    real = given(
        nats_url="nats://bus",
        mongo_url=SecretStr("mongodb://db"),
        stripe_key=SecretStr("sk_test_1"),
        stripe_webhook_secret=SecretStr("whsec_x"),
    )
    assert names(real) == [[], ["provision"], services]
    assert "stripe" not in names(given(stripe_api_base="http://127.0.0.1:1"))[1]


def test_every_port_is_changed_by_the_setting_that_is_named() -> None:
    for group in groups(given()):
        for process in group:
            if process.port is not None:
                changed = given(**{process.port_setting.lower(): 4999})
                other = next(p for g in groups(changed) for p in g if p.name == process.name)
                assert other.port == 4999
                assert "4999" in other.command


def test_services_listen_where_the_settings_say() -> None:
    command = " ".join(service("auth", given(host="127.0.0.9", auth_port=4001)).command)
    assert "streams.auth:app --host 127.0.0.9 --port 4001" in command


async def test_the_embedded_bus_answers_and_keeps_its_store_through_a_restart(tmp_path: Path) -> None:
    port = free_port()
    for _ in range(2):
        async with nats_server(tmp_path / "nats", port) as url:
            assert url == f"nats://127.0.0.1:{port}"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            verb, _, body = (await reader.readline()).partition(b" ")
            writer.close()
            assert verb == b"INFO"
            assert json.loads(body)["jetstream"] is True
    assert (tmp_path / "nats" / "jetstream").is_dir()


async def test_the_embedded_database_keeps_what_it_was_told(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with (
            mongo_server(tmp_path / "mongo") as url,
            AsyncMongoClient[dict[str, object]](url) as client,
        ):
            await client.admin.command("ping")
            await client["some"]["things"].insert_one({})
            assert len(await client["some"]["things"].find({}).to_list()) == expected


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    store = tmp_path / "nats"
    store.write_text("not a folder")
    with pytest.raises(RuntimeError, match=r"nats didn't start: [\s\S]*not a directory"):
        await nats_server(store).__aenter__()


async def test_readiness_is_a_200_and_nothing_else() -> None:
    answer = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ready = answering(port, "/health/ready")
    async with server:
        answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\nno bus"
        assert await ready() == "/health/ready answered 'HTTP/1.1 503 Service Unavailable' no bus"
        answer = b"HTTP/1.1 200 OK\r\n\r\n"
        assert await ready() is None
    assert await ready() == f"nothing listens on port {port}"


def test_reset_removes_the_data_folder_unless_the_stack_is_running(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with locked(folder), pytest.raises(Refused, match="already running"):
        reset(folder)
    assert (folder / NAME).exists()
    assert reset(folder) == f"Removed {folder}."
    assert not folder.exists()
    assert reset(folder) == f"{folder} is not there: nothing to remove."


def test_reset_leaves_a_folder_alone_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis").touch()
    with pytest.raises(Refused, match="nothing was removed"):
        reset(tmp_path)
    assert (tmp_path / "thesis").exists()


def test_the_procfile_runs_the_same_servers_on_the_same_ports() -> None:
    lines = dict(
        line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line[0] != "#"
    )
    servers = [process for group in groups(given()) for process in group if "--factory" in process.command]
    assert set(lines) == {process.name for process in servers}
    for process in servers:
        app = process.command[process.command.index("--factory") + 1]
        assert f"--factory {app} " in lines[process.name]
        assert f"${{{process.port_setting}:-{process.port}}}" in lines[process.name]
        assert lines[process.name].endswith(" ".join(LIMITS))

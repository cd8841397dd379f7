"""The processes that the runner starts, and the folder of their data."""

import asyncio
import json
import re
import signal
import stat
from pathlib import Path

import granian.cli
import pytest
from pydantic import SecretStr
from pymongo import AsyncMongoClient

import settings
from kit.secrets import MIN_LENGTH, NATS_USERS
from sandbox.lock import NAME, Refused, locked
from sandbox.processes import GRANIAN, answering, groups, service, stripe
from sandbox.reset import reset
from sandbox.testing import free_port, mongo_server, nats_server, running


@pytest.fixture(autouse=True)
def _default_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # a folder without .env
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings_with(**values: object) -> settings.Settings:
    return settings.Settings.model_validate(values)


def process_names(configured: settings.Settings) -> list[list[str]]:
    return [[process.name for process in group] for group in groups(configured)]


def test_embedded_servers_run_unless_the_settings_name_external_servers() -> None:
    services = ["provision", *settings.SERVICES, "web", "console"]
    assert process_names(settings_with()) == [["nats", "mongo"], ["stripe", "mailbox"], services]
    external = settings_with(
        nats_url="nats://bus",
        mongo_url=SecretStr("mongodb://db"),
        stripe_key=SecretStr("sk_test_1"),
        stripe_webhook_secret=SecretStr("whsec_x"),
        smtp_url=SecretStr("smtps://mail.example.com"),
        mail_from="tickets@example.com",
    )
    assert process_names(external) == [[], [], services]
    assert "stripe" not in process_names(settings_with(stripe_api_base="http://127.0.0.1:1"))[1]


def test_every_port_can_be_changed_by_its_setting() -> None:
    for group in groups(settings_with()):
        for process in group:
            if process.port is not None:
                changed = settings_with(**{process.port_setting.lower(): 4999})
                other = next(p for g in groups(changed) for p in g if p.name == process.name)
                assert other.port == 4999
                assert "4999" in other.command
            for setting in process.more_ports:
                changed = settings_with(**{setting.lower(): 4999})
                other = next(p for g in groups(changed) for p in g if p.name == process.name)
                assert other.more_ports[setting] == 4999
                assert other.environment[setting] == "4999"


def test_only_web_listens_on_the_configured_host() -> None:
    addresses = {
        process.name: set(re.findall(r"(?:--host|--addr) (\S+)", " ".join(process.command)))
        for group in groups(settings_with(host="0.0.0.0"))  # noqa: S104
        for process in group
        if process.port is not None
    }
    assert addresses.pop("web") == {"0.0.0.0"}  # noqa: S104
    assert set.union(*addresses.values()) == {"127.0.0.1"}
    assert addresses.keys() == {"nats", "mongo", "stripe", "mailbox", "console", *settings.SERVICES}


def test_services_listen_on_the_host_that_is_configured_for_them() -> None:
    command = " ".join(service("auth", settings_with(services_host="127.0.0.9", auth_port=4001)).command)
    assert "streams.auth:app --host 127.0.0.9 --port 4001" in command


async def test_embedded_nats_keeps_its_streams_through_a_restart(tmp_path: Path) -> None:
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


async def test_the_embedded_database_keeps_its_data_through_a_restart(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with (
            mongo_server(tmp_path / "mongo") as url,
            AsyncMongoClient[dict[str, object]](url) as client,
        ):
            await client.admin.command("ping")
            await client["some"]["things"].insert_one({})
            assert len(await client["some"]["things"].find({}).to_list()) == expected


async def test_the_error_of_a_server_that_cannot_start_contains_its_log(tmp_path: Path) -> None:
    file = tmp_path / "nats"
    file.write_text("not a folder")
    with pytest.raises(RuntimeError, match=r"nats didn't start: [\s\S]*not a directory"):
        await nats_server(file).__aenter__()


async def test_a_process_is_ready_only_if_its_health_check_returns_200() -> None:
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


def test_only_the_owner_may_enter_the_data_folder(tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        assert stat.filemode((tmp_path / "data").stat().st_mode) == "drwx------"


def test_the_embedded_nats_server_has_a_user_with_a_password_for_each_process(tmp_path: Path) -> None:
    configured = settings_with(data_dir=tmp_path)
    (embedded,) = [process for group in groups(configured) for process in group if process.name == "nats"]
    assert "deploy/nats/users.conf" in embedded.command[embedded.command.index("--config") + 1]
    passwords = embedded.environment
    assert set(passwords) == {f"NATS_{user.upper()}_PASSWORD" for user in NATS_USERS}
    assert len(set(passwords.values())) == len(NATS_USERS)
    assert all(len(password) > MIN_LENGTH for password in passwords.values())


def test_reset_removes_the_data_folder_unless_the_stack_is_running(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with locked(folder), pytest.raises(Refused, match="already running"):
        reset(folder)
    assert (folder / NAME).exists()
    assert reset(folder) == f"Removed {folder}."
    assert not folder.exists()
    assert reset(folder) == f"{folder} doesn't exist, so there is nothing to remove."


def test_reset_refuses_a_folder_that_is_not_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis").touch()
    with pytest.raises(Refused, match="Nothing was removed"):
        reset(tmp_path)
    assert (tmp_path / "thesis").exists()


def test_granian_supports_every_environment_variable_that_we_set() -> None:
    """Granian ignores an unknown variable without a warning."""
    assert {
        f"GRANIAN_{parameter.name.upper()}" for parameter in granian.cli.cli.params if parameter.name
    } >= set(GRANIAN)


def test_every_granian_process_gets_the_environment_variables_of_granian() -> None:
    servers = [
        process for group in groups(settings_with()) for process in group if "granian" in process.command[0]
    ]
    assert {process.name for process in servers} == {
        *settings.SERVICES,
        *("web", "stripe", "mailbox", "console"),
    }
    assert all(process.environment.items() >= GRANIAN.items() for process in servers)


@pytest.mark.parametrize(("kibibytes", "status"), [(60, b"200"), (200, b"431")])
async def test_a_request_head_much_longer_than_the_limit_is_refused(
    kibibytes: int, status: bytes, tmp_path: Path
) -> None:
    process = stripe(free_port(), tmp_path)
    async with running(process, tmp_path / "stripe.log", signal.SIGKILL):
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        head = f"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: {'x' * 1024 * kibibytes}\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.readline()
        writer.close()
    assert answer.split()[1] == status

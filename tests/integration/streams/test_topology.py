"""`ops provision` creates and updates the streams and consumers of NATS."""

import asyncio
import os

import pytest
from nats.js import JetStreamContext

from kit.nats import NoAnswer
from ops import provision as provision_module
from ops.provision import provision, provision_servers
from sandbox.processes import FROM_CHECKOUT, provisioning
from streams.topology import ACK_WAIT, streams
from tests.integration.streams.conftest import Nats


async def test_provisioning_twice_changes_nothing(js: JetStreamContext) -> None:
    before = [await js.stream_info(str(stream.name)) for stream in streams(1)]
    await provision(js)
    after = [await js.stream_info(str(stream.name)) for stream in streams(1)]
    assert [info.config for info in after] == [info.config for info in before]


async def test_provisioning_reverts_manual_changes(js: JetStreamContext) -> None:
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    info.config.ack_wait = 1
    await js.add_consumer("EVENTS", info.config)
    await provision(js)
    assert (
        await js.consumer_info("EVENTS", "orders-ticket-created")
    ).config.ack_wait == ACK_WAIT.total_seconds()


async def test_streams_have_the_documented_configuration(js: JetStreamContext) -> None:
    events = (await js.stream_info("EVENTS")).config
    assert events.max_age == 30 * 24 * 3600
    assert events.duplicate_window == 600
    assert events.republish is not None
    assert events.republish.dest == "live.>"
    timers = (await js.stream_info("TIMERS")).config
    assert timers.allow_msg_schedules
    assert not timers.max_age


async def test_provisioning_three_replicas_on_one_server_fails_with_a_one_line_error(server: Nats) -> None:
    async with server.running():
        child = await asyncio.create_subprocess_exec(
            *provisioning().command,
            env={**os.environ, **FROM_CHECKOUT, "NATS_URL": server.url, "NATS_REPLICAS": "3"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await child.communicate()
    assert child.returncode == 1
    [line] = stderr.decode().splitlines()
    assert line.startswith("The bus can't be provisioned with NATS_REPLICAS=3: replicas > 1")


async def test_provisioning_waits_for_a_server_that_is_not_running_yet(server: Nats) -> None:
    child = await asyncio.create_subprocess_exec(
        *provisioning().command,
        env={
            **os.environ,
            **FROM_CHECKOUT,
            "NATS_URL": f"nats://provision:well-kept@127.0.0.1:{server.port}",
            "LOG_LEVEL": "INFO",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert child.stdout is not None
    first_line = (await child.stdout.readline()).decode()
    assert f"NATS doesn't answer at 127.0.0.1:{server.port}." in first_line
    async with server.running():
        rest, _ = await child.communicate()
    log = first_line + rest.decode()
    assert child.returncode == 0, log
    assert "the bus is provisioned" in log
    assert "well-kept" not in log


async def test_provisioning_is_retried_after_its_connection_was_closed(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    async def provision_after_closing_once(js: JetStreamContext, replicas: int) -> None:
        attempts.append(replicas)
        if len(attempts) == 1:
            await js._nc.close()
        await provision(js, replicas)

    monkeypatch.setattr(provision_module, "provision", provision_after_closing_once)
    await js.delete_consumer("EVENTS", "orders-ticket-created")
    await provision_servers([server.url], 1)
    assert (await js.consumer_info("EVENTS", "orders-ticket-created")).name
    assert attempts == [1, 1]


async def test_provisioning_gives_up_after_its_timeout(server: Nats) -> None:
    with pytest.raises(NoAnswer):
        await provision_servers([server.url], 1, within=0)

"""Processes and commands refuse a database that can't guarantee a majority."""

import asyncio
import os
from pathlib import Path

import pytest

from sandbox import processes
from sandbox.testing import free_port
from settings import Settings
from tests.support.operate import CommandResult, operate
from tests.support.replica_set import ReplicaSet
from tests.support.service import serving

STANDALONE = (
    "MongoDB has to be a replica set, but MONGO_URL names a standalone server:"
    " start it with --replSet, and initiate a set with one member or more"
)
NO_MAJORITY_READS = (
    "MongoDB has to support read concern majority, but refuses it:"
    " Majority read concern requested, but it is not supported"
)


async def start(url: str, folder: Path) -> tuple[int | None, list[str]]:
    """Start the tickets service on this database. Return its exit code and what it prints."""
    ports = {"TICKETS_PORT": str(free_port()), "NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    settings = Settings(_env_file=None, tickets_port=int(ports["TICKETS_PORT"]))
    process = processes.service("tickets", settings)
    child = await asyncio.create_subprocess_exec(
        *process.command,
        env={**os.environ, **process.environment, **ports, "MONGO_URL": url, "DATA_DIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate()
    return child.returncode, out.decode().splitlines()


def break_(members: ReplicaSet, problem: str) -> None:
    members.is_standalone = problem == STANDALONE
    members.has_majority_reads = problem != NO_MAJORITY_READS


@pytest.mark.parametrize("problem", [STANDALONE, NO_MAJORITY_READS])
async def test_a_service_does_not_start_on_a_database_without_majority(
    members: ReplicaSet, tmp_path: Path, problem: str
) -> None:
    break_(members, problem)
    code, (line, *rest) = await start(f"mongodb://{members.address}", tmp_path)
    assert code == 1
    assert line.endswith(f"this process doesn't start: {problem}")
    assert rest == ["[ERROR] Unexpected exit from worker-1"]


async def test_a_service_does_not_start_if_the_named_set_is_a_standalone_server(
    members: ReplicaSet, tmp_path: Path
) -> None:
    members.is_standalone = True
    code, (line, *rest) = await start(members.url, tmp_path)
    assert code == 1
    assert 'No replica set members available for replica set name "rs0"' in line
    assert rest == ["[ERROR] Unexpected exit from worker-1"]


async def test_a_service_does_not_start_with_a_url_that_asks_for_less(tmp_path: Path) -> None:
    code, lines = await start("mongodb://127.0.0.1:1/?w=1", tmp_path)
    assert code == 1
    assert lines[0] == "MONGO_URL: w must be majority, which it is by default"


@pytest.mark.parametrize("problem", [STANDALONE, NO_MAJORITY_READS])
async def test_a_command_refuses_a_database_without_majority(members: ReplicaSet, problem: str) -> None:
    break_(members, problem)
    ran = await operate("republish", "tickets", environment={"MONGO_URL": f"mongodb://{members.address}"})
    consequence = "The state is republished only in part; repeat the command"
    assert ran == CommandResult(1, "", f"{consequence}: {problem}\n")


async def test_a_service_is_not_ready_while_its_database_has_no_majority(
    members: ReplicaSet, tmp_path: Path
) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    given = {"mongo_url": members.url, "nats_url": nowhere, "data_dir": tmp_path}
    settings = Settings.model_validate(given)
    async with serving("orders", settings) as orders:
        assert (await orders.ask("GET", "/health/ready")).json()["missing"] == ["NATS"]
        for problem in (STANDALONE, NO_MAJORITY_READS):
            break_(members, problem)
            assert (await orders.ask("GET", "/health/ready")).json()["missing"] == ["database", "NATS"]

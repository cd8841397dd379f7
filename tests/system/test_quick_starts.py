"""The programs of the developers' page work as they are shown there."""

import asyncio
import html
import os
import re
import shlex
import sys
from pathlib import Path

import httpx
import nats
import pytest

from kit.secrets import DEVELOPER, nats_servers
from sandbox.processes import ROOT
from tests.support.node_tools import installed, run
from tests.support.people import signed_up
from tests.support.polling import TIMEOUT
from tests.support.stack import Stack
from web.developers.quick_starts import FOLDER

SHOWN = re.compile('<code data-quick-start="([^"]+)">(.*?)</code>', re.DOTALL)


async def shown(stack: Stack) -> dict[str, str]:
    """The programs on the page, by the names of their files."""
    async with httpx.AsyncClient(base_url=stack.web) as client:
        page = (await client.get("/developers")).text
    return {name: html.unescape(code) for name, code in SHOWN.findall(page)}


async def test_the_page_shows_every_program_with_the_address_of_this_site(stack: Stack) -> None:
    programs = await shown(stack)
    assert set(programs) == {path.name for path in FOLDER.iterdir()}
    assert all("localhost:3500" not in program for program in programs.values())


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [
        ("curl.sh", ["bash"], r'"title":"Front row"'),
        ("buy.py", [sys.executable], r"Order \w+ is complete"),
        ("buy.mjs", ["node"], r"Order \w+ is complete"),
    ],
)
async def test_a_program_lists_or_buys_a_ticket(
    stack: Stack, tmp_path: Path, name: str, command: list[str], expected: str
) -> None:
    (tmp_path / name).write_text((await shown(stack))[name])
    assert re.search(expected, await run(*command, name, folder=tmp_path))


@pytest.mark.parametrize(("name", "command"), [("listen.py", sys.executable), ("listen.mjs", "node")])
async def test_a_program_receives_events(stack: Stack, tmp_path: Path, name: str, command: str) -> None:
    folder = tmp_path
    if name.endswith("mjs"):
        folder = await asyncio.to_thread(installed, "nats")
    program = folder / name
    program.write_text((await shown(stack))[name])
    [url] = nats_servers(stack.settings, DEVELOPER)
    child = await asyncio.create_subprocess_exec(
        command,
        str(program),
        cwd=folder,
        env={**os.environ, "NATS_URL": url, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT), signed_up(stack.web, 1) as (seller,):
            while True:  # until the program has subscribed
                ticket = await seller.lists_ticket()
                try:
                    async with asyncio.timeout(1):
                        line = (await child.stdout.readline()).decode()
                        break
                except TimeoutError:
                    continue
    finally:
        child.terminate()
        await child.wait()
    kind, about, status = line.split()
    assert (kind, status) == ("ticket.created", "available")
    assert len(about) == len(ticket["id"])


async def test_the_subject_of_the_nats_command_line_is_one_that_developers_may_receive(stack: Stack) -> None:
    """No package registry has the program `nats`, so its subscription is made with another client."""
    program = (await shown(stack))["listen.sh"]
    command = shlex.split(program.replace('"$(just developer-url)"', "URL"))
    assert command[:4] == ["nats", "sub", "--server", "URL"]
    (subject,) = command[4:]
    assert "developer-url:" in (ROOT / "justfile").read_text()
    [url] = nats_servers(stack.settings, DEVELOPER)
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def refused(error: Exception) -> None:
        await refusals.put(str(error))

    connection = await nats.connect(url, error_cb=refused)
    try:
        events = await connection.subscribe(subject)
        await connection.flush()
        async with signed_up(stack.web, 1) as (seller,):
            ticket = await seller.lists_ticket()
        async with asyncio.timeout(TIMEOUT):
            async for message in events.messages:
                if (message.headers or {}).get("ce-subject") == ticket["id"]:
                    break
        assert refusals.empty()
        # The control: the server refuses other subjects, and says so.
        await connection.subscribe("ticket.>")
        async with asyncio.timeout(TIMEOUT):
            assert "permissions violation" in (await refusals.get()).lower()
    finally:
        await connection.close()

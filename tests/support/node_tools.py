"""Tools from npm that read our documents and generate code from them, installed when first needed."""

import asyncio
import fcntl
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandbox.processes import ROOT

FOLDER = ROOT / ".tools" / "node"

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "asyncapi": (
        "@asyncapi/parser@3.6.6",
        "@asyncapi/modelina@5.10.1",
        "@types/node@20.19.25",
        "typescript@5.9.3",
    ),
    "openapi": ("openapi-typescript@7.13.0", "typescript@5.9.3"),
    "nats": ("@nats-io/transport-node@3.4.0",),
    "firefox": ("puppeteer-core@24.43.1",),  # version 25 needs Node.js 22.12
}
"""Exact versions, by the name of the folder in which they are installed."""


def installed(name: str) -> Path:
    """The folder of these tools. Another process that also needs them waits for the installation.

    Raises:
        RuntimeError: npm failed.
    """
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = " ".join(PACKAGES[name])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not (done.exists() and done.read_text() == wanted):
            command = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-save"]
            quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--silent"]
            result = subprocess.run(  # noqa: S603 - a fixed command
                [*command, *quiet, *PACKAGES[name]], check=False, capture_output=True, text=True
            )
            if result.returncode:
                raise RuntimeError(f"npm can't install {wanted}: {result.stdout}{result.stderr}")
            done.write_text(wanted)
    return folder


NOTHING: Mapping[str, str] = {}


async def node(script: Path, *arguments: str, tools: str) -> str:
    """Run a script that imports these tools. Return what it prints.

    Raises:
        AssertionError: the script failed. The message is its output.
    """
    folder = await asyncio.to_thread(installed, tools)
    # A module's imports are looked up from its own place, so the tools have to be beside the script.
    copy = folder / script.name
    copy.write_text(script.read_text("utf-8"))
    return await run("node", str(copy), *arguments, folder=folder)


async def run(*command: str, folder: Path, stdin: str = "", environment: Mapping[str, str] = NOTHING) -> str:
    """Run a command in this folder. Return what it prints.

    Raises:
        AssertionError: the command failed. The message is its output.
    """
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate(stdin.encode())
    assert child.returncode == 0, output.decode()
    return output.decode()

"""Throughput, measured by wrk, whose clients send the next request as soon as they have a response."""

import asyncio
import shutil
from itertools import count
from pathlib import Path

from pydantic import BaseModel

from bench.failure import Failed

SCRIPT = Path(__file__).with_suffix(".lua")
HOW_TO_INSTALL = "wrk is missing. Install it: sudo apt-get install wrk"

MAX_SECONDS = 20.0

_salts = count(1)


class Throughput(BaseModel):
    requests: int
    seconds: float
    refused: int
    """Responses with a status of 400 or more, usually 503."""
    broken: int
    """Connections that failed or timed out."""

    @property
    def served(self) -> int:
        return self.requests - self.refused

    @property
    def rate(self) -> float:
        """Served requests per second."""
        return self.served / self.seconds


def find_wrk() -> str:
    """The path of wrk.

    Raises:
        Failed: it isn't installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise Failed(HOW_TO_INSTALL)
    return found


async def load(url: str, *, connections: int, seconds: float, cookie: str | None = None) -> Throughput:
    """Load one address. A `{}` in it is replaced by a number that differs in every request.

    If all requests take longer than the load, repeat it with a longer one.

    Raises:
        Failed: wrk isn't installed, or no request was served.
    """
    while not (found := await _load(url, connections, seconds, cookie)).served:
        if found.refused or found.broken or seconds > MAX_SECONDS:
            raise Failed(f"{url} served none of {found.requests} requests")
        seconds *= 3
    return found


async def _load(url: str, connections: int, seconds: float, cookie: str | None) -> Throughput:
    salt = str(1_000_000 * next(_salts)) if "{}" in url else ""
    headers = ["-H", f"Cookie: {cookie}"] if cookie else []
    process = await asyncio.create_subprocess_exec(
        *(find_wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT)),
        *(*headers, url, "--", salt),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    lines = [line for line in output.decode().splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        raise Failed(f"wrk failed for {url}: {(errors or output).decode().strip()}")
    return Throughput.model_validate_json(lines[-1])

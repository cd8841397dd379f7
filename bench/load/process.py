"""Start a load generator in a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from pydantic import BaseModel

from bench.failure import Failed
from bench.load.plans import Arrivals, Arrived, Bought, Browsers, Buyers, Watched
from sandbox.processes import ROOT

R = TypeVar("R", bound=BaseModel)

MAX_RESULT_BYTES = 256 * 1024 * 1024


class Load(Generic[R]):
    """A load generator that is prepared, for example with open connections."""

    def __init__(self, process: asyncio.subprocess.Process, result: type[R]) -> None:
        self._process = process
        self._result = result

    async def run(self) -> R:
        """Run the load and return its result.

        Raises:
            Failed
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"run\n")
        return self._result.model_validate_json(await self.line())

    async def line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise Failed("A load generator has ended. Its error message is above.")
        return line


@asynccontextmanager
async def _prepared(plan: BaseModel, result: type[R]) -> AsyncIterator[Load[R]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_RESULT_BYTES,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(plan.model_dump_json().encode() + b"\n")
        load = Load(process, result)
        await load.line()
        yield load
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def visitors(plan: Arrivals) -> AbstractAsyncContextManager[Load[Arrived]]:
    return _prepared(plan, Arrived)


def browsers(plan: Browsers) -> AbstractAsyncContextManager[Load[Watched]]:
    return _prepared(plan, Watched)


def buyers(plan: Buyers) -> AbstractAsyncContextManager[Load[Bought]]:
    return _prepared(plan, Bought)

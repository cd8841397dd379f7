"""`python -m bench.load` reads a plan as JSON, prints a line when prepared, and runs after another line."""

import asyncio
import gc
import sys
from typing import Any, Protocol

import uvloop
from pydantic import BaseModel, TypeAdapter

from bench.load.arrivals import Visitors
from bench.load.browsers import Crowd
from bench.load.buyers import Market
from bench.load.plans import Arrivals, Browsers, Plan


class Generator(Protocol):
    async def prepare(self) -> None: ...

    async def run(self) -> BaseModel: ...

    async def close(self) -> None: ...


def generator(plan: Plan) -> Generator:
    match plan:
        case Arrivals():
            return Visitors(plan)
        case Browsers():
            return Crowd(plan)
        case _:
            return Market(plan)


async def main() -> None:
    plan: TypeAdapter[Any] = TypeAdapter(Plan)
    load = generator(plan.validate_json(sys.stdin.readline()))
    await load.prepare()
    gc.freeze()
    sys.stdout.write("prepared\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    found = await load.run()
    await load.close()
    sys.stdout.write(found.model_dump_json() + "\n")


if __name__ == "__main__":
    uvloop.run(main())

"""Put the current state of everything a service owns on the bus again: `just republish tickets`.

For a listener that is new, or was away for longer than the bus keeps events. The running service's
relay publishes it within a few seconds; listeners that know the state already ignore it.
"""

import argparse
import asyncio
import sys

import settings
from services.kit.aggregates import Aggregate
from services.kit.mongo import database
from services.orders.documents import Order
from services.payments.documents import Payment
from services.tickets.documents import Ticket

OWNED: dict[str, type[Aggregate]] = {"tickets": Ticket, "orders": Order, "payments": Payment}


async def republish(kind: type[Aggregate]) -> int:
    """Write an event of the current state into every outbox; gives how many documents there are."""
    count = 0
    async for found in kind.get_pymongo_collection().find({}, {"_id": 1}):
        await kind.republish(found["_id"])
        count += 1
    return count


async def main() -> None:
    parser = argparse.ArgumentParser(prog="just republish", description=__doc__)
    parser.add_argument("service", choices=list(OWNED))
    service = parser.parse_args().service
    kind = OWNED[service]
    async with database(settings.load().database, service, [kind]):
        sys.stdout.write(f"{await republish(kind)} {service} are on their way.\n")


if __name__ == "__main__":
    asyncio.run(main())

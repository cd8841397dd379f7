"""The pictures of tickets: each is kept once, under the hash of its content, while a ticket has it.

A picture is `loose` from the moment on in which a ticket may begin or cease to have it. Of those that
are loose for long, a sweep removes what no ticket has, unless it was made loose anew meanwhile.
"""

from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from services.kit.errors import NotFound
from services.tickets.documents import Picture, Ticket
from services.tickets.images import SIZES, Rendered

GRACE = timedelta(minutes=10)
"""Longer than any write of a ticket takes."""

SWEEP_SECONDS = 60.0


async def keep(picture: Rendered) -> None:
    """Have the picture, loose: a ticket is about to get it."""
    for _ in range(2):
        try:
            await Picture.get_pymongo_collection().update_one(
                {"_id": picture.name},
                {
                    "$set": {"loose": now()},
                    "$setOnInsert": {"small": picture.small, "large": picture.large},
                },
                upsert=True,
            )
        except DuplicateKeyError:  # somebody else inserted it at the same time
            continue
        return


async def loosen(name: str) -> None:
    """A ticket is about to have the picture no longer."""
    await Picture.get_pymongo_collection().update_one({"_id": name}, {"$set": {"loose": now()}})


async def read(name: str, size: str) -> bytes:
    """The picture's WebP in a size.

    Raises:
        NotFound: there is no such picture or size.
    """
    if size not in SIZES:
        raise NotFound
    found = await Picture.get_pymongo_collection().find_one({"_id": name}, {size: 1})
    if found is None:
        raise NotFound
    return bytes(found[size])


async def sweep() -> None:
    """Remove the pictures that no ticket has any more."""
    pictures = Picture.get_pymongo_collection()
    async for found in pictures.find({"loose": {"$lt": now() - GRACE}}, {"loose": 1}):
        as_found = {"_id": found["_id"], "loose": found["loose"]}
        had = await Ticket.get_pymongo_collection().find_one({"picture": found["_id"]}, {"_id": 1})
        if had:
            await pictures.update_one(as_found, {"$unset": {"loose": ""}})
        else:
            await pictures.delete_one(as_found)

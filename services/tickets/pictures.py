"""Pictures, each stored once under the hash of its content while a ticket uses it.

A picture is marked unreferenced before a ticket starts or stops using it. A sweep deletes pictures that have
been unreferenced for some time and that no ticket uses, unless they were marked again meanwhile.
"""

from collections.abc import Mapping
from datetime import timedelta

from pydantic import BaseModel, Field
from pymongo.errors import DuplicateKeyError

from contracts.wire import Moment, now
from kit.errors import NotFound
from kit.images.results import Rendered
from services.tickets.documents import Picture, Ticket
from services.tickets.shows.documents import Show

GRACE = timedelta(minutes=10)
"""How long a picture must be unreferenced before the sweep deletes it.

This is longer than any write of a ticket takes. Otherwise the sweep could delete a picture that a write in
progress is about to use.
"""

SWEEP_SECONDS = 60.0


class _Small(BaseModel):
    webp: bytes = Field(alias="small")


class _Large(BaseModel):
    webp: bytes = Field(alias="large")


_VIEWS: Mapping[str, type[_Small | _Large]] = {"small": _Small, "large": _Large}
"""Projections that read one size of a picture."""


class _Unreferenced(BaseModel):
    name: str = Field(alias="_id")
    unreferenced_since: Moment


async def store(picture: Rendered) -> None:
    """Store the picture, marked unreferenced until a ticket uses it."""
    content = {"small": picture.small, "large": picture.large}
    for _ in range(2):
        try:
            # MongoDB upserts in one command. Beanie's `upsert` would send an update and then an insert.
            await Picture.find_one({"_id": picture.name}).update(
                {"$set": {"unreferenced_since": now()}, "$setOnInsert": content}, upsert=True
            )
        except DuplicateKeyError:  # another request inserted it at the same time
            continue
        return


async def mark_unreferenced(name: str) -> None:
    """Mark a picture that a ticket is about to stop using."""
    await Picture.find_one({"_id": name}).update({"$set": {"unreferenced_since": now()}})


async def read(name: str, size: str) -> bytes:
    """The WebP data of a picture in one size.

    Raises:
        NotFound: there is no such picture or size.
    """
    view = _VIEWS.get(size)
    found = await Picture.find_one({"_id": name}).project(view) if view else None
    if found is None:
        raise NotFound
    return found.webp


async def sweep() -> None:
    """Delete the pictures that no ticket and no show uses any more."""
    async for picture in Picture.find({"unreferenced_since": {"$lt": now() - GRACE}}).project(_Unreferenced):
        unchanged = Picture.find_one({"_id": picture.name, "unreferenced_since": picture.unreferenced_since})
        used = {"picture": picture.name}
        if await Ticket.find(used).exists() or await Show.find(used).exists():
            await unchanged.update({"$unset": {"unreferenced_since": ""}})
        else:
            await unchanged.delete()

"""Stops a form if its page was made for another user than the one who is signed in now.

All tabs of a browser share one session. If another user signs in in one tab, the other tabs still show pages
of the user before, whose forms would act for somebody whom the page doesn't name.
"""

from contextlib import suppress
from typing import Any

from litestar import Request

from contracts.identity import Identity
from kit.errors import Unavailable
from kit.http.authentication import identity_in_cookie

FIELD = "viewer"
"""The field of a form with the id of the user for whom its page was made; empty for a guest."""


class AnotherUser(Exception):
    """Somebody else is signed in now."""

    def __init__(self, identity: Identity, *, was_guest: bool) -> None:
        self.identity = identity
        self.was_guest = was_guest
        """Whether nobody was signed in when the page was made."""
        super().__init__(f"{identity.id} is signed in")


async def check_recorded_user(request: Request[Any, Any, Any]) -> None:
    """Compare the user whom a form records with the one who is signed in.

    If nobody is signed in, or that can't be found out now, the services refuse the request.

    Raises:
        AnotherUser
    """
    if request.method != "POST":
        return
    recorded = (await request.form()).get(FIELD)
    if recorded is None:
        return
    identity = None
    with suppress(Unavailable):
        identity = await identity_in_cookie(request)
    if identity is not None and identity.id != recorded:
        raise AnotherUser(identity, was_guest=recorded == "")

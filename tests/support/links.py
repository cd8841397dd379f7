"""One-time links, as the service that sends mail gets them from auth."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from bson import ObjectId
from pymongo import AsyncMongoClient

from contracts.events import LinkKind
from kit.mongo import Database
from kit.secrets import mail_token
from settings import Settings
from tests.support.polling import until
from tests.support.stack import Stack


async def newest_link(database: Database, kind: LinkKind, email: str) -> str | None:
    """The id of the newest link of this kind that goes to this address."""
    newest = await database["links"].find_one({"kind": kind, "email": email}, sort=[("_id", -1)])
    return str(newest["_id"]) if newest else None


async def ask_for_link(auth: httpx.AsyncClient, settings: Settings, link_id: str) -> httpx.Response:
    """Ask auth for a link, as the service that sends mail does."""
    headers = {"Authorization": f"Bearer {mail_token(settings)}"}
    return await auth.post(f"/internal/links/{link_id}", headers=headers)


async def mailed_path(
    auth: httpx.AsyncClient, database: Database, settings: Settings, kind: LinkKind, email: str
) -> str:
    """The path and the query of the link that a mail to this address contains."""
    link_id = await newest_link(database, kind, email)
    assert link_id is not None, f"no {kind} for {email}"
    answer = await ask_for_link(auth, settings, link_id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["email"] == email
    path: str = answer.json()["path"]
    return path


def secret_in(path: str) -> str:
    """The value of `link` in the address that a mail contains."""
    (secret,) = parse_qs(urlsplit(path).query)["link"]
    assert ObjectId.is_valid(secret.partition(".")[0])
    return secret


async def link_in_mail(stack: Stack, kind: LinkKind, email: str) -> str:
    """The path and the query of the newest link of this kind in the mails to this address.

    Auth makes a link that resets a password after its response.
    """
    async with (
        AsyncMongoClient[dict[str, Any]](stack.settings.database) as client,
        httpx.AsyncClient(base_url=stack.settings.url_of("auth")) as auth,
    ):
        database = client["auth"]
        await until(lambda: newest_link(database, kind, email), lambda link: link is not None)
        return await mailed_path(auth, database, stack.settings, kind, email)

"""Whatever is typed into a form: a page comes back, without a failure, and nothing typed is a part of it."""

import asyncio
import base64
import re
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from contracts.identity import SESSION_COOKIE
from tests.fuzz import corpus
from tests.fuzz.documents import PHASES, Findings, examine, repeated_as_markup
from tests.fuzz.forms import NOT_ABOUT_FORMS, document
from tests.fuzz.market import market
from tests.stack import Stack
from web.forms import CSRF_COOKIE

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the marketplace

TYPED = ("title", "venue", "notes", "email", "price", "next", "token", "startsAt", "timeZone")


def fill_in(stack: Stack, examples: int, seed: int | None = None) -> Findings:
    """Send every form, as somebody who is signed in."""
    with market(stack.web) as people:
        (mine,), (free, held) = people.offer(1, by=people.buyer), people.offer(2)
        (order,) = people.reserve([held])
        people.buyer.headers.pop("Authorization")
        people.buyer.cookies.set(SESSION_COOKIE, people.token)
        page = people.buyer.get("/sell")
        token = re.search(r'name="_csrf_token" value="([^"]+)"', page.text)
        assert token is not None, page.text[:500]
        cookies = f"{SESSION_COOKIE}={people.token}; {CSRF_COOKIE}={people.buyer.cookies[CSRF_COOKIE]}"
        odd = [text for text in corpus.ODD_TEXTS if "\u0000" not in text]
        return examine(
            stack.web,
            {},
            document=document(mine, free, order),
            headers={"Cookie": cookies, "x-csrftoken": token[1]},
            without=NOT_ABOUT_FORMS,
            examples=examples,
            seed=seed,
            phases=PHASES if examples > 5 else ("fuzzing",),
            known=dict.fromkeys(TYPED, odd),
        )


@pytest.mark.parametrize(("page", "repeats"), [("<b>{}</b>", True), ("<b>nothing of it</b>", False)])
async def test_a_page_that_repeats_what_was_typed_as_markup_is_noticed(page: str, repeats: bool) -> None:
    typed = "<img src=x>"
    interaction = SimpleNamespace(
        request=SimpleNamespace(
            uri="http://localhost/sell",
            encoded_body=base64.b64encode(urlencode({"title": typed}).encode()).decode(),
        ),
        response=SimpleNamespace(
            headers={"content-type": ["text/html; charset=utf-8"]}, content=page.format(typed).encode()
        ),
    )
    assert (repeated_as_markup(cast("Any", interaction)) == typed) == repeats


async def test_every_form_is_answered_with_a_page_whatever_is_typed(stack: Stack) -> None:
    found = await asyncio.to_thread(fill_in, stack, 2)
    assert not found.failures, "\n\n".join(f"{title}\n{words}" for title, words in found.failures.items())
    assert found.requests > 20
    assert found.statuses[422] > 5
    assert found.statuses[200] > 5

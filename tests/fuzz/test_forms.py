"""Whatever is typed into a form: a page comes back, without a failure, and nothing typed is a part of it."""

import asyncio
import re

import pytest

from contracts.identity import SESSION_COOKIE
from tests.fuzz import corpus
from tests.fuzz.documents import PHASES, Findings, examine
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


async def test_every_form_is_answered_with_a_page_whatever_is_typed(stack: Stack) -> None:
    found = await asyncio.to_thread(fill_in, stack, 3)
    assert not found.failures, "\n\n".join(f"{title}\n{words}" for title, words in found.failures.items())
    assert found.requests > 30
    assert found.statuses[422] > 5
    assert found.statuses[200] > 5

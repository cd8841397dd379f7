"""A form answers any input with a page that shows no failure and doesn't contain the input as markup."""

import asyncio
import base64
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from contracts.identity import SESSION_COOKIE
from tests.resilience.fuzz import corpus
from tests.resilience.fuzz.documents import PHASES, Findings, examine, repeated_as_markup
from tests.resilience.fuzz.forms import NOT_ABOUT_FORMS, document
from tests.resilience.fuzz.market import market
from tests.support.stack import Stack

TYPED = ("title", "venue", "notes", "email", "price", "next", "token", "startsAt", "timeZone")


def examine_forms(stack: Stack, examples: int, seed: int | None = None) -> Findings:
    """Send every form as a user who is signed in."""
    with market(stack.web) as people:
        (mine,), (free, held) = people.list_tickets(1, by=people.buyer), people.list_tickets(2)
        (order,) = people.reserve([held])
        odd = [text for text in (*corpus.ODD_TEXTS, *corpus.DISRUPTIVE_TEXTS) if "\u0000" not in text]
        return examine(
            stack.web,
            {},
            document=document(mine, free, order),
            headers={"Cookie": f"{SESSION_COOKIE}={people.token}", "Sec-Fetch-Site": "same-origin"},
            without=NOT_ABOUT_FORMS,
            examples=examples,
            seed=seed,
            phases=PHASES if examples > 5 else ("fuzzing",),
            known=dict.fromkeys(TYPED, odd),
        )


@pytest.mark.parametrize(("html", "repeats"), [("<b>{}</b>", True), ("<b>nothing of it</b>", False)])
async def test_a_page_that_repeats_input_as_markup_is_found(html: str, repeats: bool) -> None:
    typed = "<img src=x>"
    interaction = SimpleNamespace(
        request=SimpleNamespace(
            uri="http://localhost/sell",
            encoded_body=base64.b64encode(urlencode({"title": typed}).encode()).decode(),
        ),
        response=SimpleNamespace(
            headers={"content-type": ["text/html; charset=utf-8"]}, content=html.format(typed).encode()
        ),
    )
    assert (repeated_as_markup(cast("Any", interaction)) == typed) == repeats


async def test_every_form_answers_any_input_with_a_page(stack: Stack) -> None:
    found = await asyncio.to_thread(examine_forms, stack, 2)
    assert not found.failures, "\n\n".join(f"{title}\n{words}" for title, words in found.failures.items())
    assert found.requests > 20
    assert found.statuses[422] > 5
    assert found.statuses[200] > 5

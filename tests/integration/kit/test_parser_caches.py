"""What clients send doesn't stay in memory after the request."""

from typing import Any, cast

import httpx
import pytest
from litestar import Litestar, Request, post
from litestar._parsers import parse_cookie_string, parse_query_string, parse_url_encoded_form_data

from kit.http.parser_caches import MAX_KEPT
from kit.http.request_head import CheckRequestHead
from settings import Settings

CACHES = (parse_cookie_string, parse_query_string, parse_url_encoded_form_data)


@post("/")
async def read_everything(request: Request[Any, Any, Any]) -> None:
    await request.form()
    assert request.cookies
    assert request.query_params


@pytest.fixture(autouse=True)
def empty_caches() -> None:
    for cache in CACHES:
        cache.cache_clear()


async def send(size: int, *, checked: bool = True) -> list[int]:
    """Send inputs of this size. Return how many inputs each cache then contains."""
    app = Litestar(
        [read_everything], middleware=[CheckRequestHead(Settings())] if checked else [], logging_config=None
    )
    transport = httpx.ASGITransport(cast("Any", app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        text = "x" * size
        answer = await client.post(
            "/", params={"q": text}, headers={"Cookie": f"a={text}"}, data={"password": text}
        )
    assert answer.status_code == 201, answer.text
    return [cache.cache_info().currsize for cache in CACHES]


async def test_forms_and_large_inputs_are_forgotten_after_the_request() -> None:
    assert await send(MAX_KEPT) == [0, 0, 0]


async def test_small_cookies_and_queries_are_kept_because_they_are_repeated() -> None:
    assert await send(20) == [1, 1, 0]


async def test_control_without_the_check_large_inputs_and_forms_are_kept() -> None:
    assert await send(MAX_KEPT, checked=False) == [1, 1, 1]

"""A request that the page cache answers has a span, if spans are exported."""

from collections.abc import Iterator

import pytest

from kit.telemetry import exporting
from tests.integration.web.shared_site import Site
from tests.support.collector import Collector, Span, collecting
from web.page_cache.middleware import SHARED, route_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def of_requests(collector: Collector) -> list[Span]:
    return [span for span in collector.spans if span.kind == "server"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/results/rows?after=~", "/results/rows"),
        ("{page}", "/tickets/{{ticket_id}}"),
        ("{page}/offer", "/tickets/{{ticket_id}}/offer"),
        ("{page}/card", "/tickets/{{ticket_id}}/card"),
        ("/api{page}", "/api/tickets/:id"),
    ],
)
async def test_a_page_from_memory_has_a_span_like_a_rendered_page(
    path: str, route: str, site: Site, collector: Collector
) -> None:
    path = path.format(page=site.page)
    async with exporting(collector.url, "web"):
        for _ in range(2):
            assert (await site.get(path, traceparent=PARENT)).status_code == 200
    rendered, kept = of_requests(collector)
    assert str(rendered) == str(kept) == f"web: GET {route.format()}"
    assert {rendered.trace, kept.trace} == {TRACE}
    assert kept.parent == rendered.parent == PARENT.split("-")[2]
    assert kept.attributes == {
        "http.request.method": "GET",
        "http.route": route.format(),
        "http.response.status_code": "200",
        "stagedoor.page_cache": "hit",
    }
    assert "stagedoor.page_cache" not in rendered.attributes


async def test_a_page_that_the_browser_has_already_has_a_span_with_status_304(
    site: Site, collector: Collector
) -> None:
    tag = (await site.get(site.page)).headers["etag"]
    async with exporting(collector.url, "web"):
        assert (await site.get(site.page, **{"If-None-Match": tag})).status_code == 304
    (span,) = of_requests(collector)
    assert (span.attributes["http.response.status_code"], span.parent) == ("304", "")


async def test_several_cards_in_one_response_are_one_span(site: Site, collector: Collector) -> None:
    ticket_id = site.ticket.id
    await site.get(f"{site.page}/card")
    async with exporting(collector.url, "web"):
        assert (await site.get(f"/cards?id={ticket_id}&id={ticket_id}")).status_code == 200
    (span,) = of_requests(collector)
    assert (str(span), span.attributes["stagedoor.cards"]) == ("web: GET /cards", "2")


async def test_a_request_that_is_not_sampled_has_no_span(
    site: Site, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with exporting(collector.url, "web"):
        for _ in range(2):
            await site.get(site.page)
    assert of_requests(collector) == []


def test_the_pattern_of_a_shared_path_contains_no_id() -> None:
    for path in ("/api/tickets/" + "a" * 24 + "/similar", "/api/tickets/sellers/" + "b" * 24):
        assert SHARED.fullmatch(path)
    assert route_of("/api/tickets/" + "a" * 24 + "/similar") == "/api/tickets/:id/similar"
    assert route_of("/api/tickets/sellers/" + "b" * 24) == "/api/tickets/sellers/:id"

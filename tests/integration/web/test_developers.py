"""The portal for developers."""

import html
import re

import pytest
import yaml

from contracts.events import ALL_EVENTS
from settings import SERVICES
from streams.processes import PROCESSES
from tests.integration.web.page_client import PageClient, text_of
from web.developers.documents import DOCS

SUBSCRIPTIONS = [subscription for service in PROCESSES for subscription in service.listener.subscriptions]


async def test_every_link_of_the_portal_to_a_page_of_the_site_works(client: PageClient) -> None:
    seen: set[str] = set()
    waiting = ["/developers"]
    while waiting:
        address = waiting.pop()
        answer = await client.get(address)
        assert answer.status_code == 200, address
        links = {html.unescape(link) for link in re.findall('href="([^"#]+)', answer.text)}
        new = {link for link in links if link.startswith("/developers") and "/services/" not in link} - seen
        seen |= new
        waiting += new
    assert {f"/developers/events/{event.subject}" for event in ALL_EVENTS} < seen
    assert {"/developers/openapi.yaml", "/developers/http-api"} < seen


async def test_no_page_of_the_portal_names_an_internal_address(client: PageClient) -> None:
    for path in ("/developers", "/developers/events", "/developers/events/order.updated"):
        page = (await client.get(path)).text
        assert not re.search(r"(127\.0\.0\.1|localhost):(?!3500|8025)", page)


@pytest.mark.parametrize("kind", ["asyncapi", "openapi"])
async def test_the_portal_serves_the_committed_documents(client: PageClient, kind: str) -> None:
    answer = await client.get(f"/developers/{kind}.yaml")
    assert answer.headers["content-type"].startswith("application/yaml")
    assert answer.content == (DOCS / f"{kind}.yaml").read_bytes()
    assert yaml.safe_load(answer.text)[kind].startswith("3.")


async def test_the_page_of_an_event_says_what_it_means_and_what_each_consumer_does(
    client: PageClient,
) -> None:
    for event in ALL_EVENTS:
        page = text_of(await client.get(f"/developers/events/{event.subject}"))
        for field in event.model_fields.values():
            assert str(field.alias) in page
        for subscription in SUBSCRIPTIONS:
            assert (subscription.consumer.name in page) == (subscription.event is event)


async def test_the_diagram_links_every_event(client: PageClient) -> None:
    page = (await client.get("/developers/events")).text
    diagram = page.partition('<div class="flow"')[2].partition("</svg>")[0]
    for event in ALL_EVENTS:
        assert f'<a href="/developers/events/{event.subject}">' in diagram
    for service in SERVICES:
        assert f">{service}</text>" in diagram


@pytest.mark.parametrize(
    "path",
    [
        "/developers/events/ticket.deleted",
        "/developers/grpc",
        "/developers/settings.yaml",
        "/developers/asyncapi.md",
        "/developers/..%2Fsettings.yaml",
        "/developers/services/post/openapi.json",
        "/developers/services/auth/secrets.json",
    ],
)
async def test_other_addresses_of_the_portal_do_not_exist(client: PageClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404

"""Alerts about processes and servers that are down. Each test breaks what its alert monitors."""

from collections.abc import Callable
from functools import partial

from ops.provision import provision
from tests.support.people import Person
from tests.support.polling import until
from tests.support.prometheus import Scrape
from tests.system.alerts.conftest import Monitored

People = tuple[Person, Person]


def lacks(part: str, job: str) -> Callable[[Scrape], bool]:
    """Whether a process shows that a part is missing."""
    return lambda found: found.value("stagedoor_ready", part=part, job=job) == 0


async def test_no_alert_fires_while_people_buy_tickets(monitored: Monitored, people: People) -> None:
    seller, buyer = people
    for _ in range(3):
        order = await buyer.reserves((await seller.lists_ticket())["id"])
        assert (await buyer.pays(order["id"])).status_code == 201
        await until(partial(buyer.payment, order["id"]), lambda seen: seen["status"] == "captured")
    await monitored.alerts(monitored.has_grown("stagedoor_payments_total", outcome="captured"))


async def test_a_process_that_does_not_answer_is_down(monitored: Monitored) -> None:
    await monitored.stack.stop("tickets")
    try:
        await monitored.alerts(lambda found: found.value("up", job="tickets") == 0, "ProcessDown")
    finally:
        await monitored.stack.start("tickets")


async def test_processes_without_nats_say_that_it_is_unavailable(monitored: Monitored) -> None:
    await monitored.stack.stop("nats")
    try:
        await monitored.shows(lacks("nats", "web"))
        await monitored.alerts(lacks("nats", "orders"), "NatsUnavailable")
    finally:
        await monitored.stack.start("nats")


async def test_a_service_without_its_database_fails_and_says_that_it_is_unavailable(
    monitored: Monitored, people: People
) -> None:
    orders = f"{monitored.stack.settings.url_of('orders')}/api/orders"
    await monitored.stack.stop("mongo")
    try:
        for _ in range(3):
            assert (await people[1].client.get(orders)).status_code == 503
        # Each request waits for some seconds for the database.
        await monitored.alerts(
            lacks("database", "orders"), "DatabaseUnavailable", "HighErrorRate", "SlowRequests"
        )
    finally:
        await monitored.stack.start("mongo")


async def test_a_service_whose_consumer_is_missing_is_not_ready(monitored: Monitored) -> None:
    async with monitored.jetstream() as js:
        await js.delete_consumer("EVENTS", "expiration-order-updated")
        try:
            await monitored.alerts(lacks("consumers", "expiration"), "NotReady")
        finally:
            await provision(js)

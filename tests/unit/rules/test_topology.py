import fnmatch
from collections import Counter
from importlib import import_module

from contracts.events import ALL_EVENTS, LinkUpdated, PayoutCreated, SessionEnded, UserCreated
from kit.nats import EVENTS
from settings import SERVICES
from streams.processes import CONSUMERS, DATABASES, OUTBOXES, PROCESSES
from streams.topology import DEAD, TIMERS, consumer_config, streams

SUBJECTS = {str(stream.name): stream.subjects or [] for stream in streams(1)}


def test_every_service_has_a_process() -> None:
    for name, service in zip(SERVICES, PROCESSES, strict=True):
        assert service.name == name, f"streams/{name}.py: the service there has the name {service.name}"
    assert all(service.listener.service == service.name for service in PROCESSES)


def test_backups_and_checks_include_every_database_and_every_outbox() -> None:
    for name in DATABASES:
        assert import_module(f"streams.{name}").service.documents, name
    assert {"auth", "tickets", "orders", "payments"} <= set(DATABASES)
    assert "expiration" not in DATABASES
    own = {("auth", "sessions"), *((name, name) for name in ("tickets", "orders", "payments"))}
    assert own <= set(OUTBOXES)
    assert ("orders", "tickets") not in OUTBOXES, "a replica publishes nothing"


def test_every_event_has_exactly_one_publisher() -> None:
    assert Counter(event for service in PROCESSES for event in service.publishes) == Counter(ALL_EVENTS)


def test_every_event_has_a_consumer() -> None:
    consumed = {consumer.subject for consumer in CONSUMERS if consumer.stream == EVENTS}
    everywhere = {SessionEnded.subject}  # each process subscribes to its live copy instead
    # Mail asks auth when it sends, and has nothing to tell about money that is held.
    for_others = {UserCreated.subject, LinkUpdated.subject, PayoutCreated.subject}
    assert consumed | everywhere | for_others == {event.subject for event in ALL_EVENTS}


def test_no_service_consumes_its_own_events() -> None:
    for service in PROCESSES:
        consumed = {consumer.subject for consumer in service.listener.consumers if consumer.stream == EVENTS}
        assert not consumed & {event.subject for event in service.publishes}


def test_every_event_is_stored_in_the_events_stream_only() -> None:
    for event in ALL_EVENTS:
        stored = [
            name
            for name, subjects in SUBJECTS.items()
            if any(fnmatch.fnmatchcase(event.subject, subject.replace(">", "*")) for subject in subjects)
        ]
        assert stored == [EVENTS]


def test_every_consumer_has_a_unique_name() -> None:
    assert len({consumer.name for consumer in CONSUMERS}) == len(CONSUMERS)
    assert {consumer.name for consumer in CONSUMERS} >= {"orders-ticket-created", "expiration-timers-due"}


def test_no_consumer_limits_the_number_of_deliveries() -> None:
    assert {consumer_config(consumer).max_deliver for consumer in CONSUMERS} == {-1}


def test_timers_and_dead_letters_never_expire() -> None:
    assert {stream.max_age for stream in streams(1) if stream.name in (TIMERS, DEAD)} <= {None, 0}


def test_every_stream_has_the_configured_number_of_replicas() -> None:
    assert {stream.num_replicas for stream in streams(3)} == {3}

import fnmatch
from collections import Counter

from contracts.events import ALL_EVENTS, SessionEnded
from kit.nats import EVENTS
from settings import SERVICES
from streams.processes import CONSUMERS, PROCESSES
from streams.topology import DEAD, TIMERS, consumer_config, streams

SUBJECTS = {str(stream.name): stream.subjects or [] for stream in streams(1)}


def test_every_service_has_a_process() -> None:
    assert {service.name for service in PROCESSES} == set(SERVICES)
    assert all(service.listener.service == service.name for service in PROCESSES)


def test_every_event_has_exactly_one_publisher() -> None:
    assert Counter(event for service in PROCESSES for event in service.publishes) == Counter(ALL_EVENTS)


def test_every_event_has_a_consumer() -> None:
    consumed = {consumer.subject for consumer in CONSUMERS if consumer.stream == EVENTS}
    everywhere = {SessionEnded.subject}  # each process subscribes to its live copy instead
    assert consumed | everywhere == {event.subject for event in ALL_EVENTS}


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

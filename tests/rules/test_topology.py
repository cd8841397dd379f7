import fnmatch
from collections import Counter

from contracts.events import ALL_EVENTS
from settings import SERVICES
from streams.topology import DEAD, EVENTS, LISTENS, PUBLISHES, TIMERS, consumer_config, consumers, streams

CONSUMERS = [consumer for service in SERVICES for consumer in consumers(service)]
SUBJECTS = {str(stream.name): stream.subjects or [] for stream in streams(1)}


def test_every_event_has_exactly_one_service_that_says_it() -> None:
    said = Counter(event for events in PUBLISHES.values() for event in events)
    assert said == Counter(ALL_EVENTS)


def test_nobody_listens_to_itself() -> None:
    assert not [service for service in SERVICES if set(LISTENS[service]) & set(PUBLISHES[service])]


def test_every_event_is_stored_in_the_stream_of_events_and_in_no_other() -> None:
    for event in ALL_EVENTS:
        stored = [
            name
            for name, subjects in SUBJECTS.items()
            if any(fnmatch.fnmatchcase(event.subject, subject.replace(">", "*")) for subject in subjects)
        ]
        assert stored == [EVENTS]


def test_each_service_and_subject_has_a_consumer_of_its_own() -> None:
    assert len({consumer.name for consumer in CONSUMERS}) == len(CONSUMERS)
    assert {consumer.name for consumer in CONSUMERS} >= {"orders-ticket-created", "expiration-timers-due"}


def test_no_consumer_gives_up_by_itself() -> None:
    assert {consumer_config(consumer).max_deliver for consumer in CONSUMERS} == {-1}


def test_timers_and_dead_letters_do_not_grow_old() -> None:
    assert {stream.max_age for stream in streams(1) if stream.name in (TIMERS, DEAD)} <= {None, 0}


def test_every_stream_is_kept_as_often_as_settings_say() -> None:
    assert {stream.num_replicas for stream in streams(3)} == {3}

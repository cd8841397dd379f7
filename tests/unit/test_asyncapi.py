"""The AsyncAPI documents say what the code does, and code can be generated from them."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from faststream.nats import NatsBroker

from contracts.events import ALL_EVENTS
from kit.nats import EVENTS
from ops.api_documents import DOCS, asyncapi
from streams.asyncapi import LIVE_SESSIONS, PUBLISHERS, WEB_RECEIVES
from streams.processes import CONSUMERS, PROCESSES
from streams.topology import DEAD, TIMERS
from tests.support.documented import parts
from tests.support.node_tools import run
from web.live import subscriber

DOCUMENT = asyncapi().to_jsonable()


def operations(action: str) -> dict[str, dict[str, Any]]:
    return {name: found for name, found in DOCUMENT["operations"].items() if found["action"] == action}


def channel_of(operation: dict[str, Any]) -> dict[str, Any]:
    channel: dict[str, Any] = DOCUMENT["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
    return channel


def nats_of(operation: dict[str, Any]) -> dict[str, str]:
    binding: dict[str, str] = operation.get("bindings", {}).get("nats", {})
    return binding


def test_the_committed_document_is_up_to_date() -> None:
    committed = (DOCS / "asyncapi.yaml").read_text("utf-8")
    assert committed == asyncapi().to_yaml(), "run `just docs`"
    assert yaml.safe_load(committed) == DOCUMENT


def test_every_subject_has_one_channel() -> None:
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert len(addresses) == len(set(addresses))
    assert {event.subject for event in ALL_EVENTS} < set(addresses)


def test_a_service_sends_exactly_the_events_that_it_declares() -> None:
    sent = {
        (operation["tags"][0]["name"], channel_of(operation)["address"])
        for operation in operations("send").values()
        if channel_of(operation)["x-stream"] == EVENTS
    }
    assert sent == {(service.name, event.subject) for service in PROCESSES for event in service.publishes}
    assert {(PUBLISHERS[subject.partition(".")[0]], subject) for _, subject in sent} == sent


def test_every_durable_consumer_belongs_to_one_operation() -> None:
    received = [nats_of(operation) for operation in operations("receive").values()]
    durables = [(nats["x-stream"], nats["x-durable"]) for nats in received if "x-durable" in nats]
    assert sorted(durables) == sorted((consumer.stream, consumer.name) for consumer in CONSUMERS)


LISTENING = {service.name for service in PROCESSES if service.listener.subscriptions}


@pytest.mark.parametrize(("stream", "expected"), [(TIMERS, {"expiration"}), (DEAD, LISTENING)])
def test_timers_and_dead_letters_are_sent_by_the_services_that_have_them(
    stream: str, expected: set[str]
) -> None:
    senders = {
        operation["tags"][0]["name"]
        for operation in operations("send").values()
        if channel_of(operation)["x-stream"] == stream
    }
    assert senders == expected


def test_the_live_events_of_each_process_are_those_that_it_subscribes_to() -> None:
    received: dict[str, set[str]] = {}
    for operation in operations("receive").values():
        if subject := nats_of(operation).get("x-subject"):
            received.setdefault(operation["tags"][0]["name"], set()).add(subject)
    broker = NatsBroker()
    subscriber.subscribe(broker, None)  # type: ignore[arg-type]  # no event is applied
    web = {subscription.subject.template for subscription in broker.subscribers}  # type: ignore[attr-defined]
    assert web == {f"live.{subject}" for subject in WEB_RECEIVES}
    assert received == {"web": web} | {
        service.name: {f"live.{subject}" for subject in (*LIVE_SESSIONS, *service.listener.live)}
        for service in PROCESSES
    }


def test_every_message_has_a_valid_example_with_its_headers() -> None:
    schemas = {"components": DOCUMENT["components"]}
    for name, message in DOCUMENT["components"]["messages"].items():
        for example in message.get("examples", []):
            for part in ("headers", "payload"):
                jsonschema.validate(example[part], {**message[part], **schemas})
            assert example["headers"]["ce-type"] == message["name"]
        assert message.get("examples") or name == "DeadLetter"


def test_every_field_with_fixed_values_has_a_named_type() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            assert not any("enum" in part for part in parts(field))


def test_schemas_contain_no_derived_titles_and_no_defaults_of_null() -> None:
    for schema in parts(DOCUMENT["components"]["schemas"]):
        assert "default" not in schema or schema["default"] is not None
        for field in schema.get("properties", {}).values():
            assert "title" not in field


def test_descriptions_name_fields_as_they_are_on_the_wire() -> None:
    texts = json.dumps(DOCUMENT)
    assert not re.findall(r"`[a-z]+_[a-z_]+`", texts)


def test_all_keys_are_legal() -> None:
    for components in (*DOCUMENT["components"].values(), DOCUMENT["channels"], DOCUMENT["operations"]):
        for key in components:
            assert re.fullmatch(r"[\w.-]+", key, re.ASCII)


@pytest.mark.parametrize("service", [service.name for service in PROCESSES])
async def test_faststreams_command_line_writes_the_document_of_a_service(
    service: str, tmp_path: Path
) -> None:
    faststream = Path(sys.executable).with_name("faststream")
    output = tmp_path / "asyncapi.yaml"
    options = ["--factory", "--yaml", "--out", str(output)]
    await run(str(faststream), "docs", "gen", f"streams.{service}:stream", *options, folder=DOCS.parent)
    written = yaml.safe_load(output.read_text())
    assert written["info"]["title"] == f"Stagedoor {service}"
    whole = {name: found for name, found in DOCUMENT["operations"].items() if name.startswith(service)}
    assert written["operations"] == whole

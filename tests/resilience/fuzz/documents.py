"""Use schemathesis to check every answer of a process against its OpenAPI document."""

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import Interaction, ScenarioRecorder

from contracts.money import PRICE_SCHEMA
from contracts.tickets import countries, time_zones
from tests.support import ticket_files

PHASES = ("examples", "coverage", "fuzzing", "stateful")

BY_RULE = {
    *(
        "event-in-the-past",
        "price-too-low",
        "token-invalid",
        "bad-cursor",
        "bad-signature",
        "passkey-refused",
    ),
    *("unknown-show", "picture-missing", "price-above-cap", "face-value-missing"),
    *("deadline-not-allowed", "amount-not-allowed"),
}
"""Problem types of requests that match the document but break a rule that depends on the time, a setting, a
secret or other data."""

BY_TEXT_RULE = re.compile(
    "contains (a|an) .*character|must be a single line|too many accents|seems to contain a code|is required$"
)
"""Messages about texts that match the document but break a rule that a JSON Schema can't describe."""


_NULL = re.compile("[?&][a-zA-Z]+=null(&|$)")
"""A query parameter with the text "null". Litestar treats it like one that isn't given."""


_KNOWN = re.compile("dictionary `[a-z]+` entry violates the schema", re.IGNORECASE)
"""A complaint about a value of `known`. Schemathesis takes those of fields that may be null for invalid."""


def _scan(code: str, kind: str) -> bytes:
    """A small picture or PDF of a barcode."""
    written = io.BytesIO()
    ticket_files.code_image(code).save(written, kind)
    return written.getvalue()


_FILES = {
    "image/jpeg": _scan("ADMIT 7", "JPEG"),
    "image/png": _scan("ADMIT 8", "PNG"),
    "image/webp": _scan("ADMIT 9", "WEBP"),
    "application/pdf": _scan("ADMIT 10", "PDF"),
    "application/vnd.apple.pkpass": ticket_files.wallet_pass("ADMIT 11"),
    "application/octet-stream": _scan("ADMIT 12", "PNG"),
}
"""A readable file of each media type. The pictures can be files of tickets, too."""

for _media_type, _content in _FILES.items():
    schemathesis.openapi.media_type(_media_type, st.just(_content))
schemathesis.openapi.format("iana-time-zone", st.sampled_from(sorted(time_zones())))
schemathesis.openapi.format("iso-3166-1", st.sampled_from(sorted(countries())))
# A password that isn't easy to guess, which a schema can't express
schemathesis.openapi.format("password", st.integers(10**6, 10**12).map("a team of {} horses".format))


@dataclass
class Findings:
    """The requests and their failures."""

    requests: int = 0
    checks: int = 0
    links: int = 0
    """Requests that follow the document's links, about objects of earlier answers."""
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """One example per kind of failure."""

    def add(self, recorder: ScenarioRecorder) -> None:
        self.requests += len(recorder.interactions)
        self.links += sum(case.is_transition_applied for case in recorder.cases.values())
        for interaction in recorder.interactions.values():
            status = interaction.response.status_code if interaction.response else 0
            self.statuses[status] += 1
            if status == 0 or status >= 500:
                self.failures[f"status {status}"] = f"{interaction.request.method} {interaction.request.uri}"
            if status and (repeated := repeated_as_markup(interaction)):
                self.failures["markup"] = f"{interaction.request.uri} repeats {repeated}"
        for case_id, checks in recorder.checks.items():
            self.checks += len(checks)
            for check in checks:
                if check.failure_info is None:
                    continue
                response = recorder.interactions[case_id].response
                answer = response.content if response and response.content else b""
                if check.name == "positive_data_acceptance" and _refused_by_rule(answer):
                    continue
                if check.name == "negative_data_rejection" and _NULL.search(
                    recorder.interactions[case_id].request.uri
                ):
                    continue
                if check.name == "status_code_conformance" and response and response.status_code == _TOO_LONG:
                    continue
                if check.name == "use_after_free" and _is_over(answer):
                    continue
                failure = check.failure_info.failure
                if _KNOWN.search(failure.message):
                    continue
                title = f"{check.name}: {failure.operation}: {failure.title}"
                words = (
                    failure.message,
                    check.failure_info.code_sample,
                    answer[:400].decode("utf-8", "replace"),
                )
                self.failures.setdefault(title, "\n".join(words))


def examine(
    url: str,
    credentials: Mapping[str, str],
    *,
    document: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    examples: int,
    seed: int | None = None,
    phases: Sequence[str] = PHASES,
    known: Mapping[str, Sequence[Any]] | None = None,
    forget: Sequence[str] = (),
) -> Findings:
    """Send valid and invalid requests to the process at `url`, generated from its document.

    Args:
        credentials: tokens by the name of their security scheme.
        document: used instead of the document at /docs/openapi.json.
        headers: sent with every request.
        without: checks that are left out.
        examples: the number of requests of each kind.
        seed: determines the requests. Without a seed, they are the same in every run.
        known: values for fields of the body, by the name of the field. Most requests use one of them.
        forget: statuses that are removed from the document before it is used.
    """
    known = known or {}
    config: dict[str, Any] = {
        "base-url": url,
        "cache": {"enabled": False},
        "continue-on-failure": True,
        "request-timeout": 60,
        "generation": {
            "max-examples": examples,
            "no-shrink": True,
            "database": "none",
            "deterministic": seed is None,
        },
        "phases": {phase: {"enabled": phase in phases} for phase in PHASES},
        "checks": {
            "positive_data_acceptance": {"expected-statuses": _TAKEN},
            "negative_data_rejection": {"expected-statuses": _REFUSED},
            **{name: {"enabled": False} for name in without},
        },
        "headers": dict(headers or {}),
        "dictionaries": {name: {"values": list(values)} for name, values in known.items()},
        "parameters": {f"body.{name}": {"dictionary": name, "probability": 0.8} for name in known},
    }
    if seed is not None:
        config["seed"] = seed
    if credentials:
        config["auth"] = {"openapi": {name: {"bearer": secret} for name, secret in credentials.items()}}
    document = _with_exact_prices(document or httpx.get(f"{url}/docs/openapi.json", timeout=60).json())
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        operation["responses"] = {
            status: response for status, response in operation["responses"].items() if status not in forget
        }
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))
    findings = Findings()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                findings.add(event.recorder)
            case events.NonFatalError():
                findings.failures[f"error: {event.label}"] = repr(event.value)
            case events.FatalError():
                raise event.exception
    return findings


def _with_exact_prices(schema: Any) -> Any:
    """The document with the precision of prices, which it describes only in words."""
    if isinstance(schema, list):
        return [_with_exact_prices(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    exact = {key: _with_exact_prices(part) for key, part in schema.items()}
    return exact | PRICE_SCHEMA if exact.get("description") == "A multiple of 0.01." else exact


_TAKEN = ["2xx", "3xx", "401", "402", "403", "404", "409", "410", "429"]
"""Statuses that may answer a valid request. 402 means that the card was declined, 410 that a link expired."""


_TOO_LONG = HTTPStatus.REQUEST_URI_TOO_LONG
"""The refusal of a long address, which each process gives before it looks for the operation."""

_REFUSED = ["400", "401", "403", "404", "405", "406", "409", "414", "415", "422", "428", "429", "5xx"]
"""Statuses that may answer an invalid request: those that schemathesis expects, and 414."""


def repeated_as_markup(interaction: Interaction) -> str | None:
    """The first form value that the page contains unescaped, or None."""
    response = interaction.response
    if response is None or "html" not in str(response.headers.get("content-type")):
        return None
    sent = base64.b64decode(interaction.request.encoded_body or "").decode("utf-8", "replace")
    query = interaction.request.uri.partition("?")[2]
    page = (response.content or b"").decode("utf-8", "replace")
    values = (value for _, value in [*parse_qsl(sent), *parse_qsl(query)])
    return next((value for value in values if re.search("[<\"']\\S{3}", value) and value in page), None)


def _is_over(answer: bytes) -> bool:
    """Whether the answer is a list, a withdrawn ticket or a cancelled order."""
    thing = json.loads(answer)
    return isinstance(thing, list) or thing.get("status") in ("withdrawn", "cancelled")


def _refused_by_rule(answer: bytes) -> bool:
    try:
        problem = json.loads(answer)
    except ValueError:
        return False
    fields = {error.get("field") for error in problem["errors"]}
    breaks_text_rule = all(BY_TEXT_RULE.search(error["message"]) for error in problem["errors"])
    # The document can't describe which domains email-validator accepts.
    return problem["type"].rpartition("/")[2] in BY_RULE or fields == {"email"} or breaks_text_rule

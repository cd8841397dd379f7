"""Each package imports only what the architecture allows."""

import ast
import fnmatch
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = ("contracts", "kit", "services", "streams", "ops", "web", "sandbox")
OURS = (*CHECKED, "settings", "tests", "e2e", "bench")

Module = str
"""The full dotted name of what is imported: `from contracts.wire import now` is contracts.wire.now."""


def is_within(module: Module, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def is_ours(module: Module) -> bool:
    return is_within(module, *OURS)


def is_standard(module: Module) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


@dataclass(frozen=True)
class Rule:
    """Files that match `paths`, but not `apart_from`, import only modules for which `allows` is true."""

    description: str
    paths: tuple[str, ...]
    allows: Callable[[Module, PurePosixPath], bool]
    apart_from: tuple[str, ...] = ()

    def covers(self, path: PurePosixPath) -> bool:
        return _matches(path, self.paths) and not _matches(path, self.apart_from)


def _matches(path: PurePosixPath, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(str(path), pattern) for pattern in patterns)


def only(*packages: str) -> Callable[[Module, PurePosixPath], bool]:
    """Allow these packages of our own, and all third-party packages."""
    return lambda module, _: not is_ours(module) or is_within(module, *packages)


def never(*packages: str) -> Callable[[Module, PurePosixPath], bool]:
    return lambda module, _: not is_within(module, *packages)


def _of_a_service(module: Module, path: PurePosixPath) -> bool:
    own = f"services.{path.parts[1]}"
    return not is_ours(module) or is_within(module, "contracts", "settings", "kit", own)


WITHOUT_DATABASE = (
    "background",
    "calendar",
    "errors",
    "nats",
    "client_address",
    "devices",
    "device_names",
    "networks",
    "network_counts",
    "limiter",
    "security_log",
    *("http.head", "http.metrics", "http.options", "http.request_head", "http.security_log"),
    "logs",
    "redaction",
    "relying_party",
    "secrets",
    "session_use",
    "sessions",
    "texts",
    "tokens",
    "telemetry",
    "tracing",
    "http.address",
    "http.authentication",
    "http.cross_site",
    "http.parser_caches",
    "http.problems",
    "http.state",
    "http.tracing",
    "zones",
)
"""The parts of kit that web may import."""

IO = (
    "aiohttp asyncio beanie bson faststream http httpx io litestar logging motor nats os pathlib pymongo "
    "random secrets shutil socket sqlite3 ssl stripe subprocess tempfile threading time urllib"
).split()

RULES = (
    Rule(
        "contracts imports nothing but the standard library and its extension, pydantic and itself",
        ("contracts/*.py",),
        lambda module, _: (
            is_standard(module)
            or is_within(module, "pydantic", "pydantic_core", "typing_extensions", "contracts")
        ),
    ),
    Rule("settings imports no package of ours but contracts", ("settings.py",), only("contracts")),
    Rule(
        "kit imports neither services nor contracts of the marketplace",
        ("kit/*.py",),
        only(
            *(
                "settings",
                "kit",
                "contracts.VERSION",
                "contracts.wire",
                "contracts.identity",
                "contracts.languages",
                "contracts.devices",
                "contracts.problems",
            ),
            *("contracts.events.Event", "contracts.events.SessionEnded"),
        ),
    ),
    Rule("a service imports only contracts, settings, kit and itself", ("services/*.py",), _of_a_service),
    Rule(
        "streams imports neither ops, web nor the sandbox",
        ("streams/*.py",),
        only("contracts", "settings", "kit", "services", "streams"),
    ),
    Rule(
        "ops imports neither web nor the sandbox",
        ("ops/*.py",),
        only("contracts", "settings", "kit", "services", "streams", "ops"),
    ),
    Rule(
        "web imports contracts and the parts of kit that need no database",
        ("web/*.py",),
        only(
            "contracts",
            "settings",
            "web",
            *(f"kit.{part}" for part in WITHOUT_DATABASE),
        ),
    ),
    Rule(
        "the parts of kit that web imports don't import database libraries",
        tuple(f"kit/{part.replace('.', '/')}.py" for part in WITHOUT_DATABASE),
        lambda module, _: (
            not is_within(module, "kit", "beanie", "pymongo", "bson")
            or is_within(module, *(f"kit.{part}" for part in WITHOUT_DATABASE))
        ),
    ),
    Rule("only the sandbox imports the sandbox", ("*.py",), never("sandbox"), apart_from=("sandbox/*",)),
    Rule("no package imports the tests or the benchmarks", ("*.py",), never("tests", "e2e", "bench")),
    Rule(
        "only kit/nats.py, streams, ops, web/live and the sandbox import NATS libraries",
        ("*.py",),
        never("nats", "faststream"),
        apart_from=("kit/nats.py", "streams/*", "ops/*", "web/live/*", "sandbox/*"),
    ),
    Rule(
        "only kit, services and ops import MongoDB libraries",
        ("*.py",),
        never("pymongo", "beanie", "bson", "motor"),
        apart_from=("kit/*", "services/*", "ops/*"),
    ),
    Rule(
        "only kit/stripe and the Stripe gateways import the stripe package",
        ("*.py",),
        never("stripe"),
        apart_from=("kit/stripe/*", "services/*/stripe_gateway/*"),
    ),
    Rule(
        "only the HTTP APIs import HTTP frameworks",
        (
            "contracts/*.py",
            "services/*/rules.py",
            "services/*/documents.py",
            "services/*/actions.py",
            "services/payments/settlement.py",
            "services/payments/inbox.py",
            "services/payments/reconciler.py",
        ),
        never("litestar", "granian", "starlette"),
    ),
    Rule(
        "rules are pure functions that get the time as an argument",
        (
            "services/*/rules.py",
            "services/orders/delivery.py",
            "services/orders/hoarding.py",
            "services/payments/attempts.py",
            "services/payments/money_back.py",
            "services/payments/refunds.py",
            "services/payments/schedule.py",
            "ops/audit/rules.py",
        ),
        never(*IO, "contracts.wire.now"),
    ),
    Rule(
        "outcomes of Stripe's objects are determined without requests",
        ("services/*/stripe_gateway/outcomes.py",),
        never(*(name for name in IO if name != "stripe"), "kit.stripe", "contracts.wire.now"),
    ),
)


def imports(path: PurePosixPath, source: str) -> Iterator[Module]:
    """Every imported module, including imports inside functions and by name at run time."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = path.parts[: len(path.parts) - level] if level else ()
                package = ".".join([*above, *([module] if module else [])])
                yield from (f"{package}.{name.name}" for name in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module


def violations(path: PurePosixPath, source: str) -> list[str]:
    """The imports of the file that violate a rule."""
    return [
        f"{path} imports {module}, but {rule.description}"
        for rule in RULES
        if rule.covers(path)
        for module in imports(path, source)
        if not rule.allows(module, path)
    ]


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "settings.py", *(path for top in CHECKED for path in (ROOT / top).rglob("*.py"))]
)


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_the_rules_allow(file: str) -> None:
    assert violations(PurePosixPath(file), (ROOT / file).read_text("utf-8")) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.description)
def test_every_rule_covers_at_least_one_file(rule: Rule) -> None:
    assert [file for file in FILES if rule.covers(PurePosixPath(file))]


def test_every_exception_of_a_rule_matches_a_file() -> None:
    exceptions = [pattern for rule in RULES for pattern in rule.apart_from]
    assert [
        pattern for pattern in exceptions if not any(fnmatch.fnmatchcase(file, pattern) for file in FILES)
    ] == []


@pytest.mark.parametrize(
    ("path", "source", "module"),
    [
        ("contracts/events.py", "import litestar", "litestar"),
        ("contracts/events.py", "from settings import Settings", "settings.Settings"),
        ("contracts/money.py", "import requests", "requests"),
        ("contracts/wire.py", "from beanie import Document", "beanie.Document"),
        ("settings.py", "from kit import errors", "kit.errors"),
        ("kit/outbox.py", "from services.orders import rules", "services.orders.rules"),
        ("kit/outbox.py", "from streams.relay import Relay", "streams.relay.Relay"),
        ("kit/outbox.py", "import nats", "nats"),
        (
            "services/orders/actions.py",
            "from services.tickets.rules import edit",
            "services.tickets.rules.edit",
        ),
        ("services/orders/actions.py", "from services import tickets", "services.tickets"),
        ("services/orders/actions.py", "from ..tickets import rules", "services.tickets.rules"),
        ("services/orders/actions.py", "def act():\n    import streams.bus", "streams.bus"),
        ("services/orders/actions.py", "from web.live.hub import Hub", "web.live.hub.Hub"),
        ("services/orders/actions.py", "from litestar import get", "litestar.get"),
        ("services/orders/actions.py", "from sandbox import stripe", "sandbox.stripe"),
        ("services/orders/documents.py", "from litestar.dto import DTOConfig", "litestar.dto.DTOConfig"),
        ("services/payments/actions.py", "from stripe import StripeClient", "stripe.StripeClient"),
        ("services/payments/api.py", "import stripe.error as e", "stripe.error"),
        ("services/payments/inbox.py", "from litestar import post", "litestar.post"),
        (
            "services/payments/stripe_gateway/outcomes.py",
            "from kit.stripe.client import StripeApi",
            "kit.stripe.client.StripeApi",
        ),
        ("services/tickets/rules.py", "from beanie import Document", "beanie.Document"),
        ("services/tickets/rules.py", "import asyncio", "asyncio"),
        ("services/tickets/rules.py", "import pymongo", "pymongo"),
        ("services/tickets/rules.py", "from time import time", "time.time"),
        ("services/tickets/rules.py", "from contracts.wire import Moment, now", "contracts.wire.now"),
        ("streams/tickets.py", "from web import live", "web.live"),
        ("streams/health.py", "from pymongo.errors import PyMongoError", "pymongo.errors.PyMongoError"),
        ("kit/outbox.py", "from contracts.events import OrderCreated", "contracts.events.OrderCreated"),
        ("streams/orders.py", "from ops import trace", "ops.trace"),
        ("kit/http/problems.py", "from kit.mongo import is_outage", "kit.mongo.is_outage"),
        ("web/app.py", "from kit.outbox import Outbox", "kit.outbox.Outbox"),
        ("streams/app.py", "if TYPE_CHECKING:\n    from beanie import Document", "beanie.Document"),
        ("web/pages/tickets.py", "from services.tickets import actions", "services.tickets.actions"),
        ("web/pages/tickets.py", "from streams.bus import Bus", "streams.bus.Bus"),
        ("web/pages/tickets.py", "from faststream.nats import NatsBroker", "faststream.nats.NatsBroker"),
        (
            "web/pages/tickets.py",
            "import importlib\nimportlib.import_module('services.auth')",
            "services.auth",
        ),
        ("web/pages/tickets.py", "__import__('sandbox.up')", "sandbox.up"),
        ("web/app.py", "from bson import ObjectId", "bson.ObjectId"),
        (
            "web/app.py",
            "from tests.support.people import sign_up",
            "tests.support.people.sign_up",
        ),
    ],
)
def test_control_an_import_that_violates_a_rule_is_found(path: str, source: str, module: str) -> None:
    """Each of these invented files violates a rule, and the check reports the import."""
    found = violations(PurePosixPath(path), source)
    assert any(f"{path} imports {module}, but " in violation for violation in found), found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "contracts/events.py",
            "import re\nfrom pydantic_core import core_schema\nfrom contracts.wire import now",
        ),
        ("kit/mongo.py", "from beanie import Document\nfrom litestar import get\nimport asyncio"),
        (
            "services/orders/actions.py",
            "from services.orders import rules\nfrom kit.errors import NotFound",
        ),
        ("services/orders/rules.py", "from contracts.wire import Moment\nfrom datetime import datetime"),
        ("services/payments/stripe_gateway/client.py", "import stripe"),
        ("kit/stripe/client.py", "import stripe"),
        ("streams/orders.py", "from faststream.nats import NatsBroker\nfrom services.orders import actions"),
        ("web/live/subscriber.py", "from faststream.nats import NatsBroker"),
        (
            "web/pages/tickets.py",
            "from contracts.api import Ticket\nfrom web.page_context import Page\nimport aiohttp",
        ),
        ("sandbox/purchase.py", "from sandbox.stripe import app\nimport httpx"),
    ],
)
def test_allowed_imports_are_not_reported(path: str, source: str) -> None:
    assert violations(PurePosixPath(path), source) == []

"""Services decide, streams deliver, web renders: the imports show whether that still holds."""

import ast
import fnmatch
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("contracts", "services", "settings", "streams", "web", "sandbox", "tests", "e2e")
CHECKED = ("contracts", "services", "streams", "web", "sandbox")

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
    """Files of these paths, except those, import only what is allowed."""

    says: str
    paths: tuple[str, ...]
    allows: Callable[[Module, PurePosixPath], bool]
    apart_from: tuple[str, ...] = ()

    def covers(self, path: PurePosixPath) -> bool:
        return _matches(path, self.paths) and not _matches(path, self.apart_from)


def _matches(path: PurePosixPath, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(str(path), pattern) for pattern in patterns)


def only(*packages: str) -> Callable[[Module, PurePosixPath], bool]:
    """Of our own code these packages; other people's at will."""
    return lambda module, _: not is_ours(module) or is_within(module, *packages)


def never(*packages: str) -> Callable[[Module, PurePosixPath], bool]:
    return lambda module, _: not is_within(module, *packages)


def _of_a_service(module: Module, path: PurePosixPath) -> bool:
    own = f"services.{path.parts[1]}"
    return not is_ours(module) or is_within(module, "contracts", "settings", "services.kit", own)


IO = (
    "aiohttp asyncio beanie bson faststream http httpx io litestar logging motor nats os pathlib pymongo "
    "random secrets shutil socket sqlite3 ssl stripe subprocess tempfile threading time urllib"
).split()

RULES = (
    Rule(
        "contracts imports nothing but the standard library, pydantic and itself",
        ("contracts/*.py",),
        lambda module, _: is_standard(module) or is_within(module, "pydantic", "pydantic_core", "contracts"),
    ),
    Rule("settings imports nothing of ours but contracts", ("settings.py",), only("contracts")),
    Rule(
        "services/kit knows no service",
        ("services/kit/*.py",),
        only("contracts", "settings", "services.kit"),
    ),
    Rule(
        "a service knows contracts, settings, the kit and itself",
        ("services/*/*.py",),
        _of_a_service,
        apart_from=("services/kit/*",),
    ),
    Rule(
        "streams delivers for services",
        ("streams/*.py",),
        only("contracts", "settings", "services", "streams"),
    ),
    Rule("web knows contracts alone", ("web/*.py",), only("contracts", "settings", "web")),
    Rule("nobody needs the sandbox", ("*.py",), never("sandbox"), apart_from=("sandbox/*",)),
    Rule("nobody needs the tests", ("*.py",), never("tests", "e2e")),
    Rule(
        "NATS is only under streams and in the web tier's live updates",
        ("*.py",),
        never("nats", "faststream"),
        apart_from=("streams/*", "web/live*.py", "sandbox/*"),
    ),
    Rule(
        "Mongo is only under services",
        ("*.py",),
        never("pymongo", "beanie", "bson", "motor"),
        apart_from=("services/*",),
    ),
    Rule("one file knows Stripe", ("*.py",), never("stripe"), apart_from=("services/payments/gateway.py",)),
    Rule(
        "only the edges know HTTP",
        (
            "contracts/*.py",
            "services/*/rules.py",
            "services/*/documents.py",
            "services/*/actions.py",
        ),
        never("litestar", "granian", "starlette"),
    ),
    Rule(
        "a rule decides about values alone, and the time is one of them",
        ("services/*/rules.py",),
        never(*IO, "contracts.wire.now"),
    ),
)


def imports(path: PurePosixPath, source: str) -> Iterator[Module]:
    """Everything that is imported, also inside functions and by name at run time."""
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


def breaches(path: PurePosixPath, source: str) -> list[str]:
    """What the file imports against a rule."""
    return [
        f"{path} imports {module}, but {rule.says}"
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
def test_a_file_imports_only_what_its_place_allows(file: str) -> None:
    assert breaches(PurePosixPath(file), (ROOT / file).read_text("utf-8")) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says)
def test_every_rule_is_about_some_file(rule: Rule) -> None:
    assert [file for file in FILES if rule.covers(PurePosixPath(file))]


def test_every_rule_that_spares_a_file_spares_one_that_is_there() -> None:
    spared = [pattern for rule in RULES for pattern in rule.apart_from]
    assert [
        pattern for pattern in spared if not any(fnmatch.fnmatchcase(file, pattern) for file in FILES)
    ] == []


@pytest.mark.parametrize(
    ("path", "source", "module"),
    [
        ("contracts/events.py", "import litestar", "litestar"),
        ("contracts/events.py", "from settings import Settings", "settings.Settings"),
        ("contracts/money.py", "import requests", "requests"),
        ("contracts/wire.py", "from beanie import Document", "beanie.Document"),
        ("settings.py", "from services.kit import errors", "services.kit.errors"),
        ("services/kit/outbox.py", "from services.orders import rules", "services.orders.rules"),
        ("services/kit/outbox.py", "from streams.relay import Relay", "streams.relay.Relay"),
        ("services/kit/outbox.py", "import nats", "nats"),
        (
            "services/orders/actions.py",
            "from services.tickets.rules import edit",
            "services.tickets.rules.edit",
        ),
        ("services/orders/actions.py", "from services import tickets", "services.tickets"),
        ("services/orders/actions.py", "from ..tickets import rules", "services.tickets.rules"),
        ("services/orders/actions.py", "def act():\n    import streams.bus", "streams.bus"),
        ("services/orders/actions.py", "from web.live import Hub", "web.live.Hub"),
        ("services/orders/actions.py", "from litestar import get", "litestar.get"),
        ("services/orders/actions.py", "from sandbox import stripe", "sandbox.stripe"),
        ("services/orders/documents.py", "from litestar.dto import DTOConfig", "litestar.dto.DTOConfig"),
        ("services/payments/actions.py", "from stripe import StripeClient", "stripe.StripeClient"),
        ("services/payments/api.py", "import stripe.error as e", "stripe.error"),
        ("services/tickets/rules.py", "from beanie import Document", "beanie.Document"),
        ("services/tickets/rules.py", "import asyncio", "asyncio"),
        ("services/tickets/rules.py", "import pymongo", "pymongo"),
        ("services/tickets/rules.py", "from time import time", "time.time"),
        ("services/tickets/rules.py", "from contracts.wire import Moment, now", "contracts.wire.now"),
        ("streams/tickets.py", "from web import live", "web.live"),
        ("streams/health.py", "from pymongo.errors import PyMongoError", "pymongo.errors.PyMongoError"),
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
        ("web/app.py", "from tests.web.market import Market", "tests.web.market.Market"),
    ],
)
def test_a_breach_is_found(path: str, source: str, module: str) -> None:
    """The control: these made-up files break a rule, and the check says which."""
    found = breaches(PurePosixPath(path), source)
    assert any(f"{path} imports {module}, but " in breach for breach in found), found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "contracts/events.py",
            "import re\nfrom pydantic_core import core_schema\nfrom contracts.wire import now",
        ),
        ("services/kit/mongo.py", "from beanie import Document\nfrom litestar import get\nimport asyncio"),
        (
            "services/orders/actions.py",
            "from services.orders import rules\nfrom services.kit.errors import NotFound",
        ),
        ("services/orders/rules.py", "from contracts.wire import Moment\nfrom datetime import datetime"),
        ("services/payments/gateway.py", "import stripe"),
        ("streams/orders.py", "from faststream.nats import NatsBroker\nfrom services.orders import actions"),
        ("web/live.py", "from faststream.nats import NatsBroker"),
        (
            "web/pages/tickets.py",
            "from contracts.api import Ticket\nfrom web.page import Page\nimport aiohttp",
        ),
        ("sandbox/purchase.py", "from sandbox.stripe import app\nimport httpx"),
    ],
)
def test_what_belongs_there_is_not_found_fault_with(path: str, source: str) -> None:
    assert breaches(PurePosixPath(path), source) == []

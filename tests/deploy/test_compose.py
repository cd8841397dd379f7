"""compose.yaml: valid, closed to the outside but for the web tier, and without a secret of its own."""

import json
import re
import shutil
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # comes with Litestar, its types don't

from sandbox.processes import LIMITS
from settings import SERVICES, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
PARTS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {*SERVICES, "web", "provision"}
ONE_SHOT = {"provision"}
ON_DISK = {"mongo", "nats"}

GIVEN = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
CREDENTIAL = re.compile(r"PASSWORD|SECRET|_KEY$|_TOKEN$")
OF_PAYMENTS = {"STRIPE_KEY", "STRIPE_WEBHOOK_SECRET", "OPERATOR_TOKEN"}
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / "deploy/env.example").read_text().splitlines()
    if line and not line.startswith("#")
)


def test_it_is_valid() -> None:
    schema = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_every_process_of_the_design_is_in_it() -> None:
    assert set(PARTS) == OURS | ON_DISK


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_process_is_given_settings_that_exist(name: str) -> None:
    assert {variable.lower() for variable in PARTS[name]["environment"]} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_process_starts_with_the_values_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in PARTS[name]["environment"].items():
        monkeypatch.setenv(variable, GIVEN.sub(_value, value))
    settings = Settings(_env_file=None)
    assert settings.host == "0.0.0.0"  # noqa: S104  inside a container
    assert settings.bus[0].startswith(f"nats://{name}:")
    assert {settings.url_of(service) for service in SERVICES} == {
        f"http://{service}:{settings.port_of(service)}" for service in SERVICES
    }


def _value(given: re.Match[str]) -> str:
    return (given[3] or "") if given[2] == "-" else "secret_" * 5


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_where_the_others_look_for_it(name: str) -> None:
    command = PARTS[name]["command"]
    assert f"streams.{name}:app" in command
    port = command[command.index("--port") + 1]
    assert PARTS["web"]["environment"][f"{name.upper()}_URL"] == f"http://{name}:{port}"
    assert f":{port}/health/ready" in PARTS[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT))
def test_a_process_has_the_limits_that_it_has_outside_of_a_container(name: str) -> None:
    assert PARTS[name]["command"][-len(LIMITS) :] == list(LIMITS)


def test_everything_that_goes_on_running_has_a_health_check() -> None:
    assert {name for name, part in PARTS.items() if "healthcheck" in part} == set(PARTS) - ONE_SHOT


def test_what_a_part_waits_for_exists_and_never_waits_for_it() -> None:
    order = TopologicalSorter({name: set(part.get("depends_on", {})) for name, part in PARTS.items()})
    assert set(order.static_order()) == set(PARTS)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_what_a_part_waits_for_will_happen(name: str) -> None:
    for other, wait in PARTS[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert wait == {"condition": expected}


def test_only_the_web_tier_can_be_reached_from_outside() -> None:
    assert [name for name, part in PARTS.items() if "ports" in part or "network_mode" in part] == ["web"]
    outside = {name for name, part in PARTS.items() if "outside" in part["networks"]}
    assert outside == {"web", "payments"}
    assert COMPOSE["networks"]["inside"]["internal"] is True


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_can_do_no_more_than_it_must(name: str) -> None:
    part = PARTS[name]
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & part.keys()


def test_no_secret_is_written_down() -> None:
    for part in PARTS.values():
        for variable, value in part["environment"].items():
            literal = GIVEN.sub(lambda given: "" if given[2] == "?" else given[3] or "", value)
            if CREDENTIAL.search(variable):
                assert literal.strip('"') == "", variable
            assert not re.search(r"://\w+:[^@/]+@", literal), variable


def test_what_has_no_safe_default_must_be_given() -> None:
    given = {match[1]: match[2] for match in GIVEN.finditer((ROOT / "compose.yaml").read_text())}
    required = {name for name, mark in given.items() if mark == "?"}
    assert required == {name for name in given if name.endswith("_PASSWORD")} | OF_PAYMENTS
    assert all(mark in {"?", "-"} for mark in given.values())


def test_the_example_of_an_environment_names_all_that_can_be_given() -> None:
    given = {match[1] for match in GIVEN.finditer((ROOT / "compose.yaml").read_text())}
    assert set(EXAMPLE) == given - {"STAGEDOOR_VERSION"}
    assert {name for name, value in EXAMPLE.items() if value and CREDENTIAL.search(name)} == set()


def test_the_secrets_of_payments_are_given_to_nothing_else() -> None:
    for name, part in PARTS.items():
        told = OF_PAYMENTS & part["environment"].keys()
        assert told == (OF_PAYMENTS if name == "payments" else set()), name
        for secret in OF_PAYMENTS - told:
            assert not any(secret in str(value) for value in part["environment"].values()), name


def test_payments_and_the_pages_agree_where_one_pays_and_that_is_at_stripe_unless_told() -> None:
    asked = {name: part["environment"].get("PAYMENT_PAGE") for name, part in PARTS.items()}
    assert {name for name, value in asked.items() if value} == {"payments", "web"}
    assert asked["payments"] == asked["web"] == "${PAYMENT_PAGE:-checkout}"


@pytest.mark.parametrize("documented", ["deploy/env.example", "docs/operations.md"])
def test_the_command_that_makes_an_environment_leaves_only_stripes_secrets_to_you(
    documented: str, tmp_path: Path
) -> None:
    text = (ROOT / documented).read_text().replace("\n#  ", "\n")
    found = re.search(r"\(umask 077;.*?> \.env\)", text, re.DOTALL)
    assert found is not None
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/env.example", tmp_path / "deploy/env.example")
    subprocess.run(["/bin/sh", "-c", found[0]], cwd=tmp_path, check=True)  # noqa: S603 our own command
    made = dict(
        line.split("=", 1)
        for line in (tmp_path / ".env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    ours = {name for name in made if name.endswith("_PASSWORD")} | {"OPERATOR_TOKEN"}
    assert all(re.fullmatch("[0-9a-f]{48}", made[name]) for name in ours)
    assert len({made[name] for name in ours}) == len(ours)
    assert {name: value for name, value in made.items() if name not in ours} == {
        name: value for name, value in EXAMPLE.items() if name not in ours
    }


def test_who_compares_the_books_reads_two_databases_and_writes_none() -> None:
    users = (ROOT / "deploy/mongo/users.js").read_text()
    (books,) = re.findall(r"createUser\(\{\s*user: \"books\".*?\}\);", users, re.DOTALL)
    assert 'roles: ["orders", "payments"].map((service) => ({ role: "read", db: service }))' in books
    told = {name for name, part in PARTS.items() if "MONGO_BOOKS_PASSWORD" in part["environment"]}
    assert told == {"mongo"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"expiration"}))
def test_a_service_is_given_its_own_database_alone(name: str) -> None:
    environment = PARTS[name]["environment"]
    password = f"MONGO_{name.upper()}_PASSWORD"
    assert environment["MONGO_URL"].startswith(f"mongodb://{name}:${{{password}:?")
    assert f"/{name}?" in environment["MONGO_URL"]
    assert password in PARTS["mongo"]["environment"]
    users = (ROOT / "deploy/mongo/users.js").read_text()
    assert f'"{name}"' in users
    assert 'roles: [{ role: "readWrite", db: service }]' in users


@pytest.mark.parametrize("name", sorted(PARTS))
def test_the_files_that_are_mounted_exist_and_cannot_be_changed(name: str) -> None:
    for volume in PARTS[name].get("volumes", []):
        source, *_, mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]

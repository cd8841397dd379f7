"""compose.yaml is valid, exposes only the web tier, and contains no secrets."""

import json
import re
import shutil
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # a dependency of Litestar, installed without its types

from settings import SERVICES, Settings

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCESSES = {*SERVICES, "web", "provision", "migrate"}
ONE_SHOT = {"provision", "migrate"}
SERVERS = {"mongo", "nats"}

VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
CREDENTIAL = re.compile(r"PASSWORD|SECRET|_KEY$|_TOKEN$")
PAYMENTS_SECRETS = {"STRIPE_KEY", "STRIPE_WEBHOOK_SECRET", "OPERATOR_TOKEN"}
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / "deploy/env.example").read_text().splitlines()
    if line and not line.startswith("#")
)


def test_the_compose_file_is_valid() -> None:
    schema = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_compose_file_contains_every_process() -> None:
    assert set(CONTAINERS) == PROCESSES | SERVERS


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_a_process_receives_only_settings_that_exist(name: str) -> None:
    assert {variable.lower() for variable in CONTAINERS[name]["environment"]} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_a_process_accepts_the_settings_of_its_container(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in CONTAINERS[name]["environment"].items():
        monkeypatch.setenv(variable, VARIABLE.sub(_value, value))
    settings = Settings(_env_file=None)
    assert settings.host == "0.0.0.0"  # noqa: S104  inside a container
    if name != "migrate":  # it needs the database only
        assert settings.bus[0].startswith(f"nats://{name}:")
    assert {settings.url_of(service) for service in SERVICES} == {
        f"http://{service}:{settings.port_of(service)}" for service in SERVICES
    }


def _value(variable: re.Match[str]) -> str:
    return (variable[3] or "") if variable[2] == "-" else "secret_" * 5


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_on_the_address_that_web_uses_for_the_service(name: str) -> None:
    command = CONTAINERS[name]["command"]
    assert f"streams.{name}:app" in command
    port = command[command.index("--port") + 1]
    assert CONTAINERS["web"]["environment"][f"{name.upper()}_URL"] == f"http://{name}:{port}"
    assert f":{port}/health/ready" in CONTAINERS[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", sorted(PROCESSES - ONE_SHOT))
def test_a_container_passes_granian_only_the_app_and_the_port(name: str) -> None:
    program, app, option, port = CONTAINERS[name]["command"]
    assert (program, option) == ("granian", "--port")
    assert app == ("web.app:app" if name == "web" else f"streams.{name}:app")
    assert port.isdigit()


def test_every_long_running_container_has_a_health_check() -> None:
    assert {name for name, container in CONTAINERS.items() if "healthcheck" in container} == set(
        CONTAINERS
    ) - ONE_SHOT


def test_container_dependencies_exist_and_have_no_cycle() -> None:
    order = TopologicalSorter(
        {name: set(container.get("depends_on", {})) for name, container in CONTAINERS.items()}
    )
    assert set(order.static_order()) == set(CONTAINERS)


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_waits_until_its_dependencies_are_healthy_or_have_completed(name: str) -> None:
    for other, wait in CONTAINERS[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert wait == {"condition": expected}


def test_only_the_web_tier_is_reachable_from_outside() -> None:
    assert [
        name for name, container in CONTAINERS.items() if "ports" in container or "network_mode" in container
    ] == ["web"]
    outside = {name for name, container in CONTAINERS.items() if "outside" in container["networks"]}
    assert outside == {"web", "payments"}
    assert COMPOSE["networks"]["inside"]["internal"] is True


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_has_no_unneeded_privileges(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & container.keys()


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_has_limits_of_memory_processors_processes_and_logs(name: str) -> None:
    container = CONTAINERS[name]
    assert re.fullmatch(r"\d+[mg]", container["mem_limit"])
    assert 0 < container["cpus"] <= 2
    assert 0 < container["pids_limit"] <= 2000
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize(("name", "variable"), [("mongo", "MONGO_IMAGE"), ("nats", "NATS_IMAGE")])
def test_the_image_of_a_server_has_a_version_and_can_be_replaced_by_a_digest(
    name: str, variable: str
) -> None:
    image = CONTAINERS[name]["image"]
    assert re.fullmatch(rf"\$\{{{variable}:-{name}:\d[\w.-]*\}}", image)


def test_the_compose_file_contains_no_secret() -> None:
    for container in CONTAINERS.values():
        for variable, value in container["environment"].items():
            literal = VARIABLE.sub(lambda match: "" if match[2] == "?" else match[3] or "", value)
            if CREDENTIAL.search(variable):
                assert literal.strip('"') == "", variable
            assert not re.search(r"://\w+:[^@/]+@", literal), variable


def test_variables_without_a_safe_default_are_required() -> None:
    variables = {match[1]: match[2] for match in VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
    required = {name for name, mark in variables.items() if mark == "?"}
    assert required == {name for name in variables if name.endswith("_PASSWORD")} | {
        "INTERNAL_SECRET",
        *PAYMENTS_SECRETS,
    }
    assert all(mark in {"?", "-"} for mark in variables.values())


def test_the_example_environment_has_every_variable_and_no_secret() -> None:
    variables = {match[1] for match in VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
    assert set(EXAMPLE) == variables - {"STAGEDOOR_VERSION"}
    assert {name for name, value in EXAMPLE.items() if value and CREDENTIAL.search(name)} == set()


def test_only_payments_receives_the_secrets_of_payments() -> None:
    for name, container in CONTAINERS.items():
        receiving = PAYMENTS_SECRETS & container["environment"].keys()
        assert receiving == (PAYMENTS_SECRETS if name == "payments" else set()), name
        for secret in PAYMENTS_SECRETS - receiving:
            assert not any(secret in str(value) for value in container["environment"].values()), name


def test_payments_and_web_use_the_same_payment_page_and_default_to_stripe() -> None:
    pages = {name: container["environment"].get("PAYMENT_PAGE") for name, container in CONTAINERS.items()}
    assert {name for name, value in pages.items() if value} == {"payments", "web"}
    assert pages["payments"] == pages["web"] == "${PAYMENT_PAGE:-checkout}"


@pytest.mark.parametrize("documented", ["deploy/env.example", "docs/operations.md"])
def test_the_documented_command_generates_every_secret_except_those_of_stripe(
    documented: str, tmp_path: Path
) -> None:
    text = (ROOT / documented).read_text().replace("\n#  ", "\n")
    found = re.search(r"\(umask 077;.*?> \.env\)", text, re.DOTALL)
    assert found is not None
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/env.example", tmp_path / "deploy/env.example")
    subprocess.run(["/bin/sh", "-c", found[0]], cwd=tmp_path, check=True)  # noqa: S603 our own command
    generated = dict(
        line.split("=", 1)
        for line in (tmp_path / ".env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    secrets = {name for name in generated if name.endswith("_PASSWORD")} | {
        "OPERATOR_TOKEN",
        "INTERNAL_SECRET",
    }
    assert all(re.fullmatch("[0-9a-f]{48}", generated[name]) for name in secrets)
    assert len({generated[name] for name in secrets}) == len(secrets)
    assert {name: value for name, value in generated.items() if name not in secrets} == {
        name: value for name, value in EXAMPLE.items() if name not in secrets
    }


def test_the_audit_user_can_only_read_the_databases_of_orders_and_payments() -> None:
    users = (ROOT / "deploy/mongo/users.js").read_text()
    (audit_user,) = re.findall(r"createUser\(\{\s*user: \"audit\".*?\}\);", users, re.DOTALL)
    assert 'roles: ["orders", "payments"].map((service) => ({ role: "read", db: service }))' in audit_user
    receiving = {
        name for name, container in CONTAINERS.items() if "MONGO_AUDIT_PASSWORD" in container["environment"]
    }
    assert receiving == {"mongo"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"expiration"}))
def test_a_service_can_access_only_its_own_database(name: str) -> None:
    environment = CONTAINERS[name]["environment"]
    password = f"MONGO_{name.upper()}_PASSWORD"
    assert environment["MONGO_URL"].startswith(f"mongodb://{name}:${{{password}:?")
    assert f"/{name}?" in environment["MONGO_URL"]
    assert password in CONTAINERS["mongo"]["environment"]
    users = (ROOT / "deploy/mongo/users.js").read_text()
    assert f'"{name}"' in users
    assert 'roles: [{ role: "service", db: service }]' in users


def test_only_the_migration_can_create_and_drop_indexes() -> None:
    users = (ROOT / "deploy/mongo/users.js").read_text()
    roles = re.findall(r"createRole\(\{\s*role: \"(\w+)\".*?\n *roles: \[\]", users, re.DOTALL)
    texts = re.findall(r"createRole\(\{.*?\n *roles: \[\]", users, re.DOTALL)
    allowed = {
        role for role, text in zip(roles, texts, strict=True) if "Index" in text.replace("listIndexes", "")
    }
    assert allowed == {"migrate"}
    assert "readWrite" not in users
    receiving = {
        name
        for name, container in CONTAINERS.items()
        if "MONGO_MIGRATE_PASSWORD" in str(container["environment"])
    }
    assert receiving == {"mongo", "migrate"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"expiration"}))
def test_a_service_with_a_database_starts_after_the_migration(name: str) -> None:
    assert "migrate" in CONTAINERS[name]["depends_on"]


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_mounted_files_exist_and_are_read_only(name: str) -> None:
    for volume in CONTAINERS[name].get("volumes", []):
        source, *_, mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]

"""compose.yaml is valid, exposes only the web tier, and contains no secrets."""

import json
import re
import shutil
import subprocess
from graphlib import TopologicalSorter
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import SecretStr

from settings import SERVICES, Settings
from streams.processes import DATABASES

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCESSES = {*SERVICES, "web", "console", "provision", "migrate"}
ONE_SHOT = {"provision", "migrate"}
SERVERS = {"mongo", "nats"}
MONITORING = {"prometheus", "alertmanager", "tempo", "grafana"}
OPTIONAL = {"caddy": "tls", **dict.fromkeys(MONITORING, "observability")}
"""The profile of each container that doesn't start by default."""

EMBEDDED = {"NATS_PORT", "MONGO_PORT", "STRIPE_SANDBOX_PORT", "MAILBOX_PORT", "MAILBOX_SMTP_PORT"}
FIXED = {
    *("SERVICES_HOST", "WEB_PORT", "CONSOLE_PORT", *(f"{service.upper()}_PORT" for service in SERVICES)),
    "PRICE_CAPS",
    "PAGES_DIR",
}
"""Settings that mean nothing in a container: compose.yaml sets address and port on the command line, and
mounts the table of price caps and the articles in place of the standard ones."""

VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
CREDENTIAL = re.compile(r"PASSWORD|SECRET|_KEY$|_TOKEN$")
"""The names of variables that contain nothing but a secret."""

SECRET_SETTINGS = {
    name.upper()
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
}
"""These also contain secrets as parts of addresses."""

STRIPE_SECRETS = {"STRIPE_KEY", "STRIPE_WEBHOOK_SECRET"}
SECRETS_OF: dict[str, set[str]] = {
    "auth": {"OPERATOR_TOKEN"},
    "tickets": {"OPERATOR_TOKEN"},
    "orders": {"OPERATOR_TOKEN"},
    "payments": {*STRIPE_SECRETS, "OPERATOR_TOKEN"},
    "payouts": {"STRIPE_KEY", "STRIPE_PAYOUTS_WEBHOOK_SECRET", "OPERATOR_TOKEN"},
    "console": {*STRIPE_SECRETS, "OPERATOR_TOKEN"},
}
"""Who receives the secrets for Stripe and for operators."""

EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / "deploy/env.example").read_text().splitlines()
    if line and not line.startswith("#")
)


def test_the_compose_file_is_valid() -> None:
    schema = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_compose_file_contains_every_process() -> None:
    expected = PROCESSES | SERVERS | OPTIONAL.keys()
    assert not expected - CONTAINERS.keys(), f"add to compose.yaml: {expected - CONTAINERS.keys()}"
    assert set(CONTAINERS) == expected


def test_only_the_marketplace_itself_starts_by_default() -> None:
    assert {
        name: container["profiles"] for name, container in CONTAINERS.items() if "profiles" in container
    } == {name: [profile] for name, profile in OPTIONAL.items()}


def test_every_setting_reaches_a_process() -> None:
    passed = {variable for name in PROCESSES for variable in CONTAINERS[name]["environment"]}
    assert {name.upper() for name in Settings.model_fields} == passed | EMBEDDED | FIXED


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
        user = "provision" if name == "console" else name
        assert settings.bus[0].startswith(f"nats://{user}:")
    assert {settings.url_of(service) for service in SERVICES} == {
        f"http://{service}:{settings.port_of(service)}" for service in SERVICES
    }


def _value(variable: re.Match[str]) -> str:
    """The default of a variable, or for one without a default a value that is accepted."""
    special = {"SMTP_URL": "smtps://mail.example.com", "MAIL_FROM": "Stagedoor <tickets@example.com>"}
    return (variable[3] or "") if variable[2] == "-" else special.get(variable[1], "secret_" * 5)


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
    others = {"web": "web.app:app", "console": "ops.console.app:app"}
    assert app == others.get(name, f"streams.{name}:app")
    assert port.isdigit()


def test_every_long_running_container_has_a_health_check() -> None:
    without = {name for name, container in CONTAINERS.items() if "healthcheck" not in container}
    assert without == ONE_SHOT | {"tempo"}  # whose image has no command that could check it


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
    assert {name for name, container in CONTAINERS.items() if "ports" in container} == {
        *("web", "caddy", "grafana")
    }
    assert CONTAINERS["grafana"]["ports"][0].startswith("127.0.0.1:")
    assert not any("network_mode" in container for container in CONTAINERS.values())
    outside = {name for name, container in CONTAINERS.items() if "outside" in container["networks"]}
    assert outside == {"web", "payments", "payouts", "mail", "console", "alertmanager", "grafana"}
    assert {name for name, container in CONTAINERS.items() if "edge" in container["networks"]} == {
        "web",
        "caddy",
    }
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_the_documented_address_of_caddy_is_its_address() -> None:
    address = CONTAINERS["caddy"]["networks"]["edge"]["ipv4_address"]
    (subnet,) = (config["subnet"] for config in COMPOSE["networks"]["edge"]["ipam"]["config"])
    assert IPv4Address(address) in IPv4Network(subnet)
    for document in ("deploy/env.example", "docs/operations.md"):
        assert f"TRUSTED_PROXIES={address}" in (ROOT / document).read_text()


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_has_no_unneeded_privileges(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert not {"privileged", "devices", "pid", "ipc"} & container.keys()


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_has_limits_of_memory_processors_processes_and_logs(name: str) -> None:
    container = CONTAINERS[name]
    assert re.fullmatch(r"\d+[mg]", container["mem_limit"])
    assert 0 < container["cpus"] <= 2
    assert 0 < container["pids_limit"] <= 2000
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(SERVERS | OPTIONAL.keys()))
def test_the_image_of_a_server_has_a_version_and_can_be_replaced_by_a_digest(name: str) -> None:
    image = CONTAINERS[name]["image"]
    assert re.fullmatch(rf"\$\{{{name.upper()}_IMAGE:-(\w+/)?{name}:v?\d[\w.-]*\}}", image)


def test_the_compose_file_contains_no_secret() -> None:
    for container in CONTAINERS.values():
        for variable, value in container.get("environment", {}).items():
            literal = VARIABLE.sub(lambda match: "" if match[2] == "?" else match[3] or "", value)
            if CREDENTIAL.search(variable):
                assert literal.strip('"') == "", variable
            assert not re.search(r"://\w+:[^@/]+@", literal), variable


def test_variables_without_a_safe_default_are_required() -> None:
    variables = {match[1]: match[2] for match in VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
    required = {name for name, mark in variables.items() if mark == "?"}
    assert required == {name for name in variables if name.endswith("_PASSWORD")} | {
        *("INTERNAL_SECRET", "OPERATOR_TOKEN", "MAIL_TOKEN", "TICKET_FILE_KEY", "SMTP_URL", "MAIL_FROM"),
        *STRIPE_SECRETS,
        "STRIPE_PAYOUTS_WEBHOOK_SECRET",
    }
    assert all(mark in {"?", "-"} for mark in variables.values())


def test_the_example_environment_has_every_variable_and_no_secret() -> None:
    variables = {match[1] for match in VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
    assert set(EXAMPLE) == variables - {"STAGEDOOR_VERSION"} | {"NATS_ROUTE_PASSWORD"}
    assert {name for name, value in EXAMPLE.items() if value and CREDENTIAL.search(name)} == set()


def test_only_those_who_need_them_receive_the_secrets_for_stripe_and_the_operator_token() -> None:
    secrets = STRIPE_SECRETS | {"STRIPE_PAYOUTS_WEBHOOK_SECRET", "OPERATOR_TOKEN"}
    for name, container in CONTAINERS.items():
        receiving = secrets & container.get("environment", {}).keys()
        assert receiving == SECRETS_OF.get(name, set()), name
        for secret in secrets - receiving:
            assert secret not in str(container.get("environment")), name


def test_only_services_with_routes_for_operators_and_the_console_receive_the_operator_token() -> None:
    receiving = {
        name: {it for it in container.get("environment", {}) if "OPERATOR_TOKEN" in it}
        for name, container in CONTAINERS.items()
    }
    both = {"OPERATOR_TOKEN", "PREVIOUS_OPERATOR_TOKEN"}
    assert {name: found for name, found in receiving.items() if found} == {
        name: both if name in SERVICES else {"OPERATOR_TOKEN"}
        for name, has in SECRETS_OF.items()
        if "OPERATOR_TOKEN" in has
    }


def test_only_auth_and_mail_receive_the_token_for_one_time_links() -> None:
    receiving = {name for name, container in CONTAINERS.items() if "MAIL_TOKEN" in str(container)}
    assert receiving == {"auth", "mail"}


def test_payments_and_web_use_the_same_payment_page_and_default_to_stripe() -> None:
    pages = {name: CONTAINERS[name]["environment"].get("PAYMENT_PAGE") for name in PROCESSES}
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
        "MAIL_TOKEN",
        "INTERNAL_SECRET",
        "TICKET_FILE_KEY",
    }
    assert all(re.fullmatch("[0-9a-f]{48}", generated[name]) for name in secrets)
    assert len({generated[name] for name in secrets}) == len(secrets)
    assert {name: value for name, value in generated.items() if name not in secrets} == {
        name: value for name, value in EXAMPLE.items() if name not in secrets
    }


def test_the_audit_user_can_only_read_the_databases_of_orders_payments_and_payouts() -> None:
    users = (ROOT / "deploy/mongo/users.js").read_text()
    (audit_user,) = re.findall(r"createUser\(\{\s*user: \"audit\".*?\}\);", users, re.DOTALL)
    assert (
        'roles: ["orders", "payments", "payouts"].map((service) => ({ role: "read", db: service }))'
        in audit_user
    )
    receiving = {name for name, container in CONTAINERS.items() if "MONGO_AUDIT_PASSWORD" in str(container)}
    assert receiving == {"mongo"}


def test_the_console_can_only_read_the_databases() -> None:
    users = (ROOT / "deploy/mongo/users.js").read_text()
    (console,) = re.findall(r"createUser\(\{\s*user: \"console\".*?\}\);", users, re.DOTALL)
    assert 'roles: services.map((service) => ({ role: "read", db: service }))' in console
    receiving = {name for name in CONTAINERS if "MONGO_CONSOLE_PASSWORD" in str(CONTAINERS[name])}
    assert receiving == {"mongo", "console"}


@pytest.mark.parametrize("name", DATABASES)
def test_a_service_can_access_only_its_own_database(name: str) -> None:
    environment = CONTAINERS[name]["environment"]
    password = f"MONGO_{name.upper()}_PASSWORD"
    assert environment.get("MONGO_URL", "").startswith(f"mongodb://{name}:${{{password}:?")
    assert f"/{name}?" in environment["MONGO_URL"]
    assert password in CONTAINERS["mongo"]["environment"]
    users = (ROOT / "deploy/mongo/users.js").read_text()
    (listed,) = re.findall(r"^const services = \[(.*)\];$", users, re.MULTILINE)
    assert f'"{name}"' in listed, "add it to `services` in deploy/mongo/users.js"
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
    receiving = {name for name, container in CONTAINERS.items() if "MONGO_MIGRATE_PASSWORD" in str(container)}
    assert receiving == {"mongo", "migrate"}


@pytest.mark.parametrize("name", DATABASES)
def test_a_service_with_a_database_starts_after_the_migration(name: str) -> None:
    assert "migrate" in CONTAINERS[name]["depends_on"]


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_mounted_files_exist_and_are_read_only(name: str) -> None:
    for volume in CONTAINERS[name].get("volumes", []):
        source, *_, mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists() or name in {"prometheus", "grafana"}
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]

"""The files that add to compose.yaml: a cluster, and secrets in files instead of the environment."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from settings import SERVICES, Settings
from tests.integration.deploy.nats_users import SERVER, USERS
from tests.integration.deploy.test_compose import (
    COMPOSE,
    CONTAINERS,
    CREDENTIAL,
    EXAMPLE,
    PROCESSES,
    SECRET_SETTINGS,
)

ROOT = Path(__file__).parents[3]
RESET = object()
"""Stands for a value that compose removes."""


class Loader(yaml.SafeLoader):
    """Reads compose's tag `!reset`."""


Loader.add_constructor("!reset", lambda *_: RESET)


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load((ROOT / name).read_text(), Loader)  # noqa: S506 - a SafeLoader
    return content


CLUSTER = read("compose.cluster.yaml")
NODES = ("nats", "nats-2", "nats-3")
SECRETS = read("compose.secrets.yaml")
SCRIPT = "deploy/secrets.sh"


NEW = {"nats-2", "nats-3"}
"""The containers that only the cluster has. All other additions are about containers of compose.yaml."""

COMBINATIONS = {
    "cluster": [CLUSTER],
    "secrets": [SECRETS],
    "cluster and secrets": [CLUSTER, SECRETS],
}
PROFILES: list[set[str]] = [set(), {"tls"}, {"observability"}, {"tls", "observability"}]


def merged(base: Any, addition: Any) -> Any:
    """What compose makes of two values: it merges mappings, joins lists, and replaces everything else.

    A command replaces the command, and a volume at the same place the volume: see `combined`.
    """
    if isinstance(base, dict) and isinstance(addition, dict):
        both = dict(base)
        for key, value in addition.items():
            replaces = key in ("command", "test") or key not in base
            both[key] = value if replaces else merged(base[key], value)
        return {key: value for key, value in both.items() if value is not RESET}
    if isinstance(base, list) and isinstance(addition, list):
        return base + addition
    return addition


def combined(additions: list[dict[str, Any]]) -> dict[str, Any]:
    """compose.yaml with the additions. The result was compared once with that of `docker compose config`."""
    whole: dict[str, Any] = copy.deepcopy(COMPOSE)
    for each in additions:
        services = {
            name: merged(CONTAINERS[service["extends"]["service"]], _without_extends(service))
            if "extends" in service
            else service
            for name, service in each["services"].items()
        }
        whole = merged(whole, {**each, "services": services})
    for service in whole["services"].values():
        if "volumes" in service:
            by_place = {volume.split(":")[1]: volume for volume in service["volumes"]}
            service["volumes"] = list(by_place.values())
    return whole


def _without_extends(service: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in service.items() if key != "extends"}


@pytest.mark.parametrize("additions", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.parametrize("profiles", PROFILES, ids=lambda profiles: " and ".join(sorted(profiles)) or "none")
def test_every_combination_of_files_and_profiles_is_complete(
    additions: list[dict[str, Any]], profiles: set[str]
) -> None:
    whole = combined(additions)
    schema = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(whole)
    services = {
        name: service
        for name, service in whole["services"].items()
        if "profiles" not in service or profiles & set(service["profiles"])
    }
    assert services.keys() >= PROCESSES | {"mongo", "nats"}
    assert services.keys() >= NEW or CLUSTER not in additions
    for name, service in services.items():
        assert service.get("depends_on", {}).keys() <= services.keys(), name
        assert set(service["networks"]) <= whole["networks"].keys(), name
        assert {_source(secret) for secret in service.get("secrets", [])} <= whole.get("secrets", {}).keys()
        sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {source for source in sources if not source.startswith(".")} <= whole["volumes"].keys(), name
        # deploy/secrets.sh writes the folder `secrets`.
        assert all((ROOT / source).exists() for source in sources if source.startswith("./deploy")), name


def _source(secret: str | dict[str, str]) -> str:
    return secret if isinstance(secret, str) else secret["source"]


@pytest.mark.parametrize("additions", COMBINATIONS.values(), ids=COMBINATIONS)
def test_several_instances_of_a_container_share_no_port_and_no_address(
    additions: list[dict[str, Any]],
) -> None:
    for name, service in combined(additions)["services"].items():
        if service.get("deploy", {}).get("replicas", 1) > 1:
            assert not {"ports", "container_name", "hostname"} & service.keys(), name
            assert isinstance(service["networks"], list), name


@pytest.mark.parametrize("additions", [CLUSTER, SECRETS], ids=["cluster", "secrets"])
def test_the_additions_are_about_containers_of_compose(additions: dict[str, Any]) -> None:
    assert set(additions["services"]) - NEW <= set(CONTAINERS)


def test_a_cluster_has_two_instances_of_each_process_and_three_nats_servers() -> None:
    services = CLUSTER["services"]
    for name in (*SERVICES, "web"):
        assert services[name]["deploy"] == {"replicas": 2}
    assert services["web"]["ports"] is RESET
    assert CONTAINERS.keys() & NODES == {"nats"}
    assert {services[node]["environment"]["NATS_NAME"] for node in NODES} == set(NODES)
    volumes = {services[node]["volumes"][0] for node in NODES[1:]}
    assert len(volumes) == 2
    assert all(services[node]["extends"]["service"] == "nats" for node in NODES[1:])


def test_the_instances_of_a_process_know_all_nats_servers_with_its_own_password() -> None:
    for name in PROCESSES - {"migrate"}:
        one = CONTAINERS[name]["environment"]["NATS_URL"]
        expected = [one.replace("@nats:", f"@{node}:") for node in NODES]
        assert CLUSTER["services"][name]["environment"]["NATS_URL"].split(",nats:") == [
            expected[0],
            *(url.removeprefix("nats:") for url in expected[1:]),
        ]


def test_each_nats_server_of_the_cluster_has_what_its_configuration_reads() -> None:
    read_by_nats = set(re.findall(r": \$(\w+)", (ROOT / "deploy/nats/cluster.conf").read_text()))
    read_by_nats |= {"NATS_ROUTE_PASSWORD"}
    for node in NODES:
        assert read_by_nats <= CLUSTER["services"][node]["environment"].keys()
        routes = CLUSTER["services"][node]["environment"]["NATS_ROUTES"]
        assert re.findall(r"@([\w-]+):6222", routes) == list(NODES)


def test_with_secrets_in_files_no_secret_is_in_the_environment_of_a_container() -> None:
    for name in PROCESSES | {"mongo", "nats"}:
        environment = CONTAINERS[name]["environment"] | SECRETS["services"][name]["environment"]
        for variable, value in environment.items():
            if CREDENTIAL.search(variable) or variable in SECRET_SETTINGS:
                assert value == "", f"{variable} of {name}"


def test_each_container_gets_only_its_own_secrets() -> None:
    for name in PROCESSES:
        assert SECRETS["services"][name]["secrets"] == [{"source": f"{name}.env", "target": "/app/.env"}]
    assert SECRETS["services"]["mongo"]["secrets"] == ["mongo.env"]
    assert SECRETS["secrets"] == {
        f"{name}.env": {"file": f"secrets/{name}.env"} for name in (*PROCESSES, "mongo")
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an .env in which each variable has its own value, and the script."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    lines = [f"{name}={value or _made_up(name)}" for name, value in EXAMPLE.items()]
    (tmp_path / ".env").write_text("\n".join(lines))
    return tmp_path


def _made_up(name: str) -> str:
    if name in ("SMTP_URL", "MAIL_FROM"):
        return f"smtps://{'x' * 32}.example.com" if name == "SMTP_URL" else "Stagedoor <tickets@example.com>"
    return f"{name.replace('_', '').lower()}{'x' * 32}" if CREDENTIAL.search(name) else ""


def write_secrets(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", SCRIPT],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("cluster", [False, True])
def test_a_process_reads_the_same_secrets_from_its_file_as_from_its_environment(
    cluster: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write_secrets(folder, **({"CLUSTER": "yes"} if cluster else {})).stderr == ""
    values = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
    for name in PROCESSES:
        given = dict(CONTAINERS[name]["environment"])
        if cluster and name != "migrate":
            given |= CLUSTER["services"][name]["environment"]
        resolved = {
            variable: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: values[match[1]], value)
            for variable, value in given.items()
        }
        with monkeypatch.context() as patch:
            for variable, value in resolved.items():
                patch.setenv(variable, value)
            from_environment = Settings(_env_file=None)
            for variable, value in SECRETS["services"][name]["environment"].items():
                patch.setenv(variable, value)
            from_file = Settings(_env_file=folder / f"secrets/{name}.env")
        lost = {
            field.upper()
            for field in Settings.model_fields
            if getattr(from_file, field) != getattr(from_environment, field)
        }
        assert not lost, f"{SCRIPT} doesn't write {lost} into {name}.env"


def test_the_server_of_nats_accepts_the_users_with_their_passwords(folder: Path) -> None:
    write_secrets(folder)
    shutil.copy(ROOT / "deploy/nats/nats.conf", folder / "secrets/nats.conf")
    checked = subprocess.run(  # noqa: S603 - the server of the tests
        [SERVER, "-t", "-c", folder / "secrets/nats.conf"],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is valid" in checked.stderr
    users = (folder / "secrets/users.conf").read_text()
    for user in USERS:
        assert f'NATS_{user.upper()}_PASSWORD: "nats{user}password{"x" * 32}"' in users


def test_only_the_operator_can_enter_the_folder_of_the_secrets(folder: Path) -> None:
    write_secrets(folder)
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    mongo = (folder / "secrets/mongo.env").read_text()
    names = set(re.findall(r"^(\w+)=.", mongo, re.MULTILINE))
    assert names == {
        variable for variable in CONTAINERS["mongo"]["environment"] if CREDENTIAL.search(variable)
    }


def test_the_script_names_a_secret_that_is_missing(folder: Path) -> None:
    path = folder / ".env"
    path.write_text(path.read_text().replace("\nNATS_WEB_PASSWORD=natsweb", "\n#"))
    done = write_secrets(folder)
    assert done.returncode != 0
    assert done.stderr == "NATS_WEB_PASSWORD: set it in .env\n"


def test_the_volumes_of_the_cluster_are_declared() -> None:
    assert CLUSTER["volumes"].keys() == {"nats-2-data", "nats-3-data"}
    assert not CLUSTER["volumes"].keys() & COMPOSE["volumes"].keys()

"""The Kubernetes manifests describe every process, with the ports and variables of settings.py."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import SERVICES, Settings
from tests.integration.deploy.test_compose import CONTAINERS, SECRET_SETTINGS

FOLDER = Path(__file__).parents[3] / "deploy/kubernetes"
Object = dict[str, Any]

OBJECTS: dict[str, dict[str, Object]] = defaultdict(dict)
"""All objects by kind and name."""
for path in [path for folder in (".", "jobs", "optional") for path in (FOLDER / folder).glob("*.yaml")]:
    if path.name != "kustomization.yaml":
        for each in yaml.safe_load_all(path.read_text()):
            assert each["metadata"]["name"] not in OBJECTS[each["kind"]], path
            OBJECTS[each["kind"]][each["metadata"]["name"]] = each

PROCESSES = (*SERVICES, "web")
JOBS = ("provision", "migrate")
PORTS = {name: Settings.model_fields[f"{name}_port"].default for name in PROCESSES}
NAME = "app.kubernetes.io/name"
CALLS = {
    *(("web", service) for service in SERVICES),
    *((name, "auth") for name in PROCESSES if name != "auth"),  # public keys and the use of sessions
    ("payments", "orders"),
    ("orders", "tickets"),
    *(
        ("auth", name) for name in ("tickets", "orders", "payments", "payouts", "mail")
    ),  # users who leave or export their data
    ("payments", "payments"),  # `ops refund` in a pod calls the API of any pod
    ("auth", "auth"),  # so does `ops suspend`
    ("orders", "orders"),  # `ops cancel` and `ops extend`
    ("tickets", "tickets"),  # `ops withdraw`
}
"""Which process calls which: `url_of` in the code."""


def pod(name: str) -> Object:
    kind = "Job" if name in JOBS else "Deployment"
    spec: Object = OBJECTS[kind][name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Object:
    (only,) = pod(name)["containers"]
    found: Object = only
    return found


def selected(selector: Object) -> set[str]:
    """The processes and jobs that a selector of pods selects."""
    everybody = {*PROCESSES, *JOBS}
    if "matchLabels" in selector:
        return everybody & {selector["matchLabels"][NAME]}
    for expression in selector.get("matchExpressions", []):
        assert (expression["key"], expression["operator"]) == (NAME, "In")
        assert set(expression["values"]) <= everybody
        return set(expression["values"])
    return everybody


def test_every_process_has_two_instances_that_scale_and_survive_the_loss_of_a_node() -> None:
    for kind in ("Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"):
        missing = set(PROCESSES) - set(OBJECTS[kind])
        assert not missing, f"deploy/kubernetes/ lacks {kind} of {missing}"
        assert set(OBJECTS[kind]) == set(PROCESSES), kind
    assert set(OBJECTS["Job"]) == set(JOBS)
    for name in PROCESSES:
        assert OBJECTS["Deployment"][name]["spec"]["replicas"] == 2
        scaler = OBJECTS["HorizontalPodAutoscaler"][name]["spec"]
        assert scaler["minReplicas"] == 2
        assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        assert OBJECTS["PodDisruptionBudget"][name]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", PROCESSES)
def test_selectors_select_the_pods_of_their_process(name: str) -> None:
    labels = OBJECTS["Deployment"][name]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert OBJECTS[kind][name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert OBJECTS["Service"][name]["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_listens_on_the_port_of_its_settings(name: str) -> None:
    assert container(name)["ports"] == [{"name": "http", "containerPort": PORTS[name]}]
    assert OBJECTS["Service"][name]["spec"]["ports"][0]["port"] == PORTS[name]
    assert container(name)["command"] == CONTAINERS[name]["command"]
    if name != "web":
        addresses = OBJECTS["ConfigMap"]["stagedoor"]["data"]
        assert addresses[f"{name.upper()}_URL"] == f"http://{name}:{PORTS[name]}"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_the_command_of_compose(name: str) -> None:
    assert container(name)["command"] == CONTAINERS[name]["command"]
    assert pod(name)["restartPolicy"] == "OnFailure"


@pytest.mark.parametrize("name", PROCESSES)
def test_a_pod_starts_when_it_is_ready_and_serves_while_it_is_alive(name: str) -> None:
    probes = {kind: container(name)[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"startup": "/health/ready", "readiness": "/health/live", "liveness": "/health/live"}
    assert all(probe["httpGet"]["port"] == "http" for probe in probes.values())
    # Filling the search of 100,000 tickets takes a minute.
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 300
    grace = pod(name)["terminationGracePeriodSeconds"]
    assert grace >= 20 + int(container(name)["lifecycle"]["preStop"]["exec"]["command"][1])


@pytest.mark.parametrize("name", [*PROCESSES, *JOBS])
def test_a_pod_meets_the_restricted_standard_and_has_limits(name: str) -> None:
    context = pod(name)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["automountServiceAccountToken"] is False
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(name)["resources"].keys() == {"requests", "limits"}
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod(name)["volumes"])


@pytest.mark.parametrize("name", [*PROCESSES, *JOBS])
def test_a_process_receives_only_settings_that_exist_and_only_its_own_secrets(name: str) -> None:
    assert container(name)["envFrom"] == [
        {"configMapRef": {"name": "stagedoor"}},
        {"secretRef": {"name": name}},
    ]
    secrets = OBJECTS["Secret"][name]["stringData"]
    assert set(secrets.values()) == {""}
    in_config = OBJECTS["ConfigMap"]["stagedoor"]["data"]
    assert {variable.lower() for variable in (*secrets, *in_config)} <= set(Settings.model_fields)
    assert not SECRET_SETTINGS & in_config.keys()
    in_compose = {variable for variable in CONTAINERS[name]["environment"] if variable in SECRET_SETTINGS}
    internal = {"INTERNAL_SECRET", "PREVIOUS_INTERNAL_SECRET"}
    assert set(secrets) == in_compose - (internal if name in JOBS else set())


def policies(direction: str) -> list[Object]:
    return [
        policy["spec"]
        for policy in OBJECTS["NetworkPolicy"].values()
        if policy["spec"]["policyTypes"] == [direction]
    ]


def test_everything_that_no_policy_allows_is_denied() -> None:
    deny = OBJECTS["NetworkPolicy"]["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(("direction", "side"), [("Ingress", "from"), ("Egress", "to")])
def test_a_process_reaches_only_the_processes_that_it_calls(direction: str, side: str) -> None:
    allowed = set()
    for policy in policies(direction):
        for rule in policy[direction.lower()]:
            for peer in rule[side]:
                for other in selected(peer["podSelector"]) if "podSelector" in peer else ():
                    for own in selected(policy["podSelector"]):
                        caller, called = (other, own) if direction == "Ingress" else (own, other)
                        assert rule["ports"] == [{"port": PORTS[called], "protocol": "TCP"}]
                        allowed.add((caller, called))
    where = f"{FOLDER}/network.yaml: {direction} rules of (caller, called)"
    assert not CALLS - allowed, f"add to {where} {CALLS - allowed}"
    assert not allowed - CALLS, f"remove from {where} {allowed - CALLS}, or add to CALLS above"


def reaching(port: int) -> set[str]:
    return {
        name
        for policy in policies("Egress")
        for rule in policy["egress"]
        if any(entry["port"] == port for entry in rule["ports"])
        for name in selected(policy["podSelector"])
    }


def test_only_those_with_a_url_reach_nats_and_mongodb_and_only_two_reach_stripe() -> None:
    for variable, policy, port in (("NATS_URL", "nats", 4222), ("MONGO_URL", "mongodb", 27017)):
        named = {name for name, secret in OBJECTS["Secret"].items() if variable in secret["stringData"]}
        assert reaching(port) == named, f"network.yaml: the policy {policy} has to select {named}"
    assert reaching(443) == {"payments", "payouts"}


def test_the_optional_policy_lets_all_processes_export_spans_and_is_applied_only_on_purpose() -> None:
    assert reaching(4318) == set(PROCESSES)
    (policy,) = yaml.safe_load_all((FOLDER / "optional/collector.yaml").read_text())
    assert policy["metadata"]["namespace"] == OBJECTS["Namespace"]["stagedoor"]["metadata"]["name"]
    applied = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert not any(name.startswith("optional") for name in applied)


def test_kustomize_includes_every_manifest_except_the_secrets() -> None:
    for folder in (FOLDER, FOLDER / "jobs"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        present = {path.name for path in folder.glob("*.yaml")}
        assert set(listed) == present - {"kustomization.yaml", "secrets.example.yaml"}

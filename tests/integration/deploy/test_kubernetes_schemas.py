"""Kubernetes accepts the manifests, as they are and as kustomize changes them."""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.deploy.test_kubernetes import FOLDER
from tests.support import python_tools

Object = dict[str, Any]

APPLIED = [FOLDER, FOLDER / "jobs"]
"""What `kubectl apply -k` gets: folders with a kustomization.yaml."""

VERSIONS = ("1.35", "1.37")
"""The oldest and the newest version of Kubernetes with which the manifests have to work."""

CLUSTER_WIDE = {"Namespace"}
"""The kinds in the manifests that belong to no namespace."""

SETTINGS = {"Namespace", "ConfigMap", "NetworkPolicy"}
"""The kinds that are applied before the jobs run: step 4 in docs/operations.md."""


def kustomized(folder: Path) -> list[Object]:
    """The objects that kustomize makes of a folder.

    It does only what our files use. The result was compared once with that of `kubectl kustomize`.
    """
    instructions = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert instructions.keys() == {"apiVersion", "kind", "namespace", "resources", "images"}
    read = [each for name in instructions["resources"] for each in objects(folder / name)]
    for each in read:
        if each["kind"] not in CLUSTER_WIDE:
            each["metadata"]["namespace"] = instructions["namespace"]
        for container in containers(each):
            for image in instructions["images"]:
                if container["image"].partition(":")[0] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    return read


def objects(file: Path) -> list[Object]:
    return list(yaml.safe_load_all(file.read_text()))


def containers(each: Object) -> Iterator[Object]:
    spec = each.get("spec", {}).get("template", {}).get("spec", {})
    yield from spec.get("containers", ())
    yield from spec.get("initContainers", ())


def problems(found: list[Object], version: str, folder: Path) -> str:
    """What doesn't match the schemas of a Kubernetes version, unknown fields included."""
    file = folder / "objects.yaml"
    file.write_text("\n---\n".join(map(json.dumps, found)))  # JSON is YAML
    tool = python_tools.installed("kubernetes") / "kubernetes-validate"
    ran = subprocess.run(  # noqa: S603 - a fixed command
        [tool, "--strict", "--quiet", "--kubernetes-version", version, file],
        capture_output=True,
        text=True,
        check=False,
    )
    output = ran.stdout + ran.stderr
    assert bool(output.strip()) == bool(ran.returncode), output
    return output


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field_of_the_manifests(version: str, tmp_path: Path) -> None:
    secrets = objects(FOLDER / "secrets.example.yaml")
    everything = [*(each for folder in APPLIED for each in kustomized(folder)), *secrets]
    assert len(everything) > 50
    assert problems(everything, version, tmp_path) == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_that_kubernetes_does_not_know_is_found(version: str, tmp_path: Path) -> None:
    (deployment,) = (each for each in kustomized(FOLDER) if is_of(each, "Deployment", "web"))
    wrong = copy.deepcopy(deployment)
    next(containers(wrong))["readyProbe"] = {}
    assert "readyProbe" in problems([deployment, wrong], version, tmp_path)


def is_of(each: Object, kind: str, name: str) -> bool:
    return (each["kind"], each["metadata"]["name"]) == (kind, name)


@pytest.mark.parametrize("folder", APPLIED, ids=lambda folder: folder.name)
def test_kustomize_replaces_every_image_by_the_one_of_the_registry(folder: Path) -> None:
    images = {container["image"] for each in kustomized(folder) for container in containers(each)}
    assert images == {"registry.example.com/stagedoor:1.0.0"}


def test_both_folders_have_the_same_namespace_and_image() -> None:
    first, second = (yaml.safe_load((folder / "kustomization.yaml").read_text()) for folder in APPLIED)
    assert first["namespace"] == second["namespace"]
    assert first["images"] == second["images"]
    (namespace,) = objects(FOLDER / "namespace.yaml")
    assert namespace["metadata"]["name"] == first["namespace"]
    for secret in objects(FOLDER / "secrets.example.yaml"):
        assert secret["metadata"]["namespace"] == first["namespace"]


def test_no_two_objects_have_the_same_kind_and_name() -> None:
    names = [(each["kind"], each["metadata"]["name"]) for folder in APPLIED for each in kustomized(folder)]
    assert len(names) == len(set(names))


def test_settings_and_network_policies_can_be_applied_before_the_processes() -> None:
    """`--selector '!app.kubernetes.io/name'` selects the objects without this label."""
    unlabelled = {
        each["kind"]
        for each in kustomized(FOLDER)
        if "app.kubernetes.io/name" not in each["metadata"].get("labels", {})
    }
    labelled = {each["kind"] for each in kustomized(FOLDER)} - SETTINGS
    assert unlabelled == SETTINGS
    assert labelled == {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}

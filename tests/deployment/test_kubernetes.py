"""The Kubernetes manifests: against the schemas, against each other, and against the image, Compose and the service's settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import kubernetes_validate
import pytest
import yaml
from neumeta_service.access import enclosed
from neumeta_service.settings import Settings, load_settings, variable

from tests.deployment.exposition import Exposed, check
from tests.deployment.files import ROOT, SERVICE_DOCKERFILE, compose, image_environment, instructions
from tests.service.access.tokens import add_key
from tests.service.serving import live, tiny_app

FOLDER = ROOT / "kubernetes"
OVERLAYS = ["hpa", "keda"]
# The oldest is the one that docs/kubernetes.md names; the newest is the newest that the package knows.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
SCALED_OBJECT = json.loads(Path(__file__).with_name("scaled-object.schema.json").read_text())
KUBECTL = shutil.which("kubectl") or ""

Manifest = dict[str, Any]


def manifests(folder: Path) -> Iterator[Manifest]:
    """What a kustomization and those that it builds on list."""
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = (folder / name).resolve()
        yield from manifests(path) if path.is_dir() else (document for document in yaml.safe_load_all(path.read_text()))


EVERYTHING = [
    (f"{overlay}-{document['kind']}-{document['metadata']['name']}", document) for overlay in OVERLAYS for document in manifests(FOLDER / overlay)
]
EXAMPLE: Manifest = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
each_manifest = pytest.mark.parametrize(
    "manifest", [document for _, document in EVERYTHING] + [EXAMPLE], ids=[name for name, _ in EVERYTHING] + ["secret"]
)


def the(kind: str, name: str = "neumeta", overlay: str = "hpa") -> Manifest:
    [found] = [document for document in manifests(FOLDER / overlay) if (document["kind"], document["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str = "neumeta") -> Manifest:
    template: Manifest = the(kind, name)["spec"]["template"]
    return template


DEPLOYMENT = pod("Deployment")["spec"]
[SERVICE] = DEPLOYMENT["containers"]


def validate(manifest: Manifest, version: str) -> None:
    if manifest["apiVersion"] == SCALED_OBJECT["properties"]["apiVersion"]["const"]:
        jsonschema.validate(manifest, SCALED_OBJECT)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@each_manifest
@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_obeys_its_schema(manifest: Manifest, version: str) -> None:
    validate(manifest, version)


@pytest.mark.parametrize(("kind", "overlay", "wrong"), [("Deployment", "hpa", "replica"), ("ScaledObject", "keda", "maxReplicas")])
def test_the_schema_refuses_a_misspelt_key(kind: str, overlay: str, wrong: str) -> None:
    manifest = deepcopy(the(kind, overlay=overlay))
    manifest["spec"][wrong] = 3
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
        validate(manifest, VERSIONS[-1])


def test_every_file_is_listed() -> None:
    for folder in ("base", *OVERLAYS):
        listed = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())["resources"]
        assert {name for name in listed if name.endswith(".yaml")} == {path.name for path in (FOLDER / folder).iterdir()} - {"kustomization.yaml"}


@pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_builds_it(overlay: str) -> None:
    built = subprocess.run([KUBECTL, "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    documents = list(yaml.safe_load_all(built.stdout))
    assert len(documents) == len(list(manifests(FOLDER / overlay)))
    assert {document["metadata"].get("namespace", "neumeta") for document in documents} == {"neumeta"}


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "neumeta"), ("StatefulSet", "redis")])
def test_pods_are_as_restricted_as_their_namespace_demands(kind: str, name: str) -> None:
    spec = pod(kind, name)["spec"]
    assert the("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in spec.get("initContainers", []) + spec["containers"]:
        privileges = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == privileges
        assert "memory" in container["resources"]["limits"]
        assert container["image"].partition(":")[2] not in ("", "latest")


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "neumeta"), ("StatefulSet", "redis")])
def test_every_selector_finds_the_pod(kind: str, name: str) -> None:
    labels = pod(kind, name)["metadata"]["labels"]
    assert the(kind, name)["spec"]["selector"]["matchLabels"] == labels == the("Service", name)["spec"]["selector"]
    assert the("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels
    ports = {port["name"]: port["containerPort"] for container in pod(kind, name)["spec"]["containers"] for port in container["ports"]}
    assert [port["targetPort"] in ports for port in the("Service", name)["spec"]["ports"]] == [True]


def test_what_selects_the_service_elsewhere_finds_it_too() -> None:
    labels = pod("Deployment")["metadata"]["labels"]
    assert the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert [spread["labelSelector"]["matchLabels"] for spread in DEPLOYMENT["topologySpreadConstraints"]] == [labels] * 2
    assert the("NetworkPolicy", "redis")["spec"]["ingress"][0]["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "neumeta"}
    assert the("ScaledObject", overlay="keda")["spec"]["scaleTargetRef"]["name"] == the("Deployment")["metadata"]["name"]
    assert "replicas" not in the("Deployment")["spec"]


def test_whatever_is_not_allowed_is_forbidden() -> None:
    everything = the("NetworkPolicy", "nothing")["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert "egress" not in the("NetworkPolicy", "redis")["spec"]


def test_the_pod_is_what_the_image_expects() -> None:
    image = image_environment(SERVICE_DOCKERFILE)
    [user] = [step.value for step in instructions(SERVICE_DOCKERFILE, "USER")]
    assert user == f"{DEPLOYMENT['securityContext']['runAsUser']}:{DEPLOYMENT['securityContext']['runAsGroup']}"
    assert [port["containerPort"] for port in SERVICE["ports"]] == [int(image["NEUMETA_PORT"])]
    mounts = {mount["mountPath"]: mount for mount in SERVICE["volumeMounts"]}
    assert mounts.keys() == {image["NEUMETA_MODELS"], image["HOME"], "/access"}
    assert mounts[image["NEUMETA_MODELS"]]["readOnly"] is True


def test_probes_ask_what_they_are_for() -> None:
    asked = {probe: SERVICE[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert {SERVICE[probe]["httpGet"]["port"] for probe in asked} == {"http"}


def test_a_pod_has_time_to_leave(environment: dict[str, str]) -> None:
    """The grace in which connections still come, then as long as a request may wait, then the second in which the process ends itself."""
    settings = load_settings(environment)
    assert settings.drain_s >= 10
    assert settings.shutdown_s >= settings.request_timeout_s
    assert DEPLOYMENT["terminationGracePeriodSeconds"] > settings.drain_s + settings.shutdown_s + 1


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, models: Path) -> dict[str, str]:
    """What a container of the pod has, set here too."""
    for name in {variable(field) for field in Settings.model_fields} & os.environ.keys():
        monkeypatch.delenv(name)
    image = {name: value for name, value in image_environment(SERVICE_DOCKERFILE).items() if name.startswith("NEUMETA_")}
    environment = image | {"NEUMETA_MODELS": str(models)} | the("ConfigMap", "neumeta-settings")["data"] | EXAMPLE["stringData"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def test_the_settings_are_those_of_the_service(environment: dict[str, str]) -> None:
    assert load_settings(environment).device == "cpu"
    assert [source[kind]["name"] for source, kind in zip(SERVICE["envFrom"], ("configMapRef", "secretRef"), strict=True)] == [
        "neumeta-settings",
        EXAMPLE["metadata"]["name"],
    ]


def test_nobody_is_let_in_without_a_key(environment: dict[str, str]) -> None:
    settings = load_settings(environment)
    assert not settings.allow_anonymous
    enclosed(settings)
    assert settings.api_keys_file is not None
    [mounted] = [mount for mount in SERVICE["volumeMounts"] if mount["mountPath"] == str(settings.api_keys_file.parent)]
    [volume] = [volume for volume in DEPLOYMENT["volumes"] if volume["name"] == mounted["name"]]
    # Neither optional, so that no pod starts without it, nor by subPath, which would never change.
    assert (volume["secret"], "subPath" in mounted) == ({"secretName": "neumeta-access"}, False)


def test_probes_need_no_token(models: Path, tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json")
    with live(tiny_app(models, api_keys_file=tmp_path / "keys.json")) as base:
        asked = {SERVICE[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {httpx.get(f"{base}{path}").status_code for path in asked} == {200}
        assert httpx.get(f"{base}/metrics").status_code == 401


def test_what_the_page_tells_prometheus_is_a_job_for_these_pods() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    [text] = [text for text in re.findall("```yaml\n(.*?)```", page, re.DOTALL) if text.startswith("scrape_configs")]
    [job] = yaml.safe_load(text)["scrape_configs"]
    assert job["job_name"] == "neumeta"
    kept = {rule["source_labels"][0]: rule["regex"] for rule in job["relabel_configs"] if rule.get("action") == "keep"}
    assert kept == {
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": pod("Deployment")["metadata"]["labels"]["app.kubernetes.io/name"],
        "__meta_kubernetes_pod_container_port_name": SERVICE["ports"][0]["name"],
    }
    assert {rule["target_label"] for rule in job["relabel_configs"] if "target_label" in rule} == {"namespace", "pod"}
    assert job["authorization"].keys() == {"credentials_file"}


def test_kubernetes_adds_no_variables_that_the_service_would_refuse() -> None:
    """It makes NEUMETA_PORT, NEUMETA_SERVICE_HOST and others of the name of the Service, unless it is told not to."""
    assert the("Service")["metadata"]["name"] == "neumeta"
    assert DEPLOYMENT["enableServiceLinks"] is False


def test_redis_is_the_redis_of_compose() -> None:
    [container] = pod("StatefulSet", "redis")["spec"]["containers"]
    there = compose()["services"]["redis"]
    assert (container["image"], container["command"], container["args"]) == (there["image"], there["entrypoint"], there["command"])
    assert ["CMD", *container["readinessProbe"]["exec"]["command"]] == there["healthcheck"]["test"]
    assert the("ConfigMap", "neumeta-settings")["data"]["NEUMETA_REDIS_URL"] == "redis://redis:6379/0"


def test_both_ways_of_scaling_look_at_the_queue(series: Exposed, values: dict[str, set[str]]) -> None:
    autoscaler, scaled = the("HorizontalPodAutoscaler")["spec"], the("ScaledObject", overlay="keda")["spec"]
    [metric], [trigger] = autoscaler["metrics"], scaled["triggers"]
    assert metric["pods"]["metric"]["name"] in series
    in_cluster = {name: labels | {"namespace", "pod"} for name, labels in series.items()}
    check(trigger["metadata"]["query"], in_cluster, values)
    assert metric["pods"]["metric"]["name"] in trigger["metadata"]["query"]
    assert metric["pods"]["target"]["averageValue"] == trigger["metadata"]["threshold"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (scaled["minReplicaCount"], scaled["maxReplicaCount"])

"""What is in `deploy/` can be read by those it is for, and holds no secret."""

from __future__ import annotations

import re

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from foundation.home import CHECKOUT
from foundation.settings import Settings

DEPLOY = CHECKOUT / "deploy"
MANIFESTS = list(
    yaml.safe_load_all((DEPLOY / "kubernetes" / "quarterdeck.yaml").read_text("utf-8"))
)


@pytest.mark.parametrize("folder", ["", "kubernetes", "celery"])
def test_each_configuration_of_dagster_is_valid(folder):
    configuration, _ = dagster_instance_config(str(DEPLOY / folder))
    assert configuration["telemetry"] == {"enabled": False}
    assert configuration["run_monitoring"]["enabled"]


def test_the_local_launcher_is_ours():
    launcher = yaml.safe_load((DEPLOY / "dagster.yaml").read_text("utf-8"))["run_launcher"]
    assert launcher == {"module": "pipelines.launching", "class": "WatchedRunLauncher"}


def test_every_claim_secret_and_configuration_that_pods_use_is_declared_or_documented():
    declared = {(doc["kind"], doc["metadata"]["name"]) for doc in MANIFESTS}
    text = (CHECKOUT / "docs" / "operating.md").read_text("utf-8")
    for doc in MANIFESTS:
        if doc["kind"] != "Deployment":
            continue
        pod = doc["spec"]["template"]["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in declared
        assert (
            doc["spec"]["selector"]["matchLabels"] == doc["spec"]["template"]["metadata"]["labels"]
        )
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["resources"]["limits"]["memory"]
            for source in container["envFrom"]:
                if "configMapRef" in source:
                    assert ("ConfigMap", source["configMapRef"]["name"]) in declared
                else:
                    assert f"create secret generic {source['secretRef']['name']} " in text
    assert "create configmap quarterdeck-dagster" in text


def test_settings_that_the_manifests_state_are_settings_that_exist():
    known = {f"QUARTERDECK_{name.upper()}" for name in Settings.model_fields}
    data = next(doc["data"] for doc in MANIFESTS if doc["kind"] == "ConfigMap")
    stated = {name for name in data if name.startswith("QUARTERDECK_")} - {"QUARTERDECK_IMAGE"}
    assert stated <= known


def test_no_password_is_written_down():
    for path in DEPLOY.rglob("*.yaml"):
        assert not re.search(r"://[^/\s:]+:[^@\s]+@", path.read_text("utf-8")), path
    assert "Secret" not in {doc["kind"] for doc in MANIFESTS}

"""Claims and volumes, one step at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.decisions import volume_bindings

CASES = yaml.safe_load(Path(__file__).with_name("volume_bindings.yaml").read_text(encoding="utf-8"))


def _claim(stated: dict[str, Any]) -> Object:
    spec: Object = {
        "accessModes": stated.get("accessModes", ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": stated["size"]}},
    }
    if stated.get("class", "") is not None:
        spec["storageClassName"] = stated.get("class", "")
    if "volumeName" in stated:
        spec["volumeName"] = stated["volumeName"]
    metadata: Object = {"name": "mine", "namespace": "default", "uid": "mine", "resourceVersion": "1"}
    if "annotations" in stated:
        metadata["annotations"] = stated["annotations"]
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _volume(name: str, stated: dict[str, Any]) -> Object:
    spec: Object = {
        "capacity": {"storage": stated["size"]},
        "accessModes": stated.get("accessModes", ["ReadWriteOnce"]),
        "persistentVolumeReclaimPolicy": stated.get("policy", "Retain"),
        **{key: stated[key] for key in ("volumeMode", "csi", "hostPath") if key in stated},
    }
    if "class" in stated:
        spec["storageClassName"] = stated["class"]
    if "for" in stated:
        spec["claimRef"] = {"namespace": "default", "name": stated["for"]}
        if stated.get("uid"):
            spec["claimRef"]["uid"] = stated["for"]
    metadata: Object = {"name": name, "annotations": stated.get("annotations", {})}
    return {"metadata": metadata, "spec": spec, "status": {"phase": stated.get("phase", "Available")}}


def _class(name: str, stated: dict[str, Any]) -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if stated.get("default") else {}
    rest = {key: value for key, value in stated.items() if key != "default"}
    return {"metadata": {"name": name, "annotations": annotations}, **rest}


@pytest.mark.parametrize("case", CASES["claims"], ids=lambda case: case["name"])
def test_claims(case: dict[str, Any]) -> None:
    volumes = {name: _volume(name, stated) for name, stated in case.get("volumes", {}).items()}
    classes = {name: _class(name, stated) for name, stated in case.get("classes", {}).items()}
    step = volume_bindings.claim_step(_claim(case["claim"]), volumes, classes, case.get("pods", []))
    found = {
        "bind": meta.name(step.volume) if step.volume is not None else "",
        "phase": step.phase,
        "assign": step.assign,
        "events": [reason for _, reason, _ in step.events],
    }
    assert {name: value for name, value in found.items() if value} == case["then"]
    if "ExternalProvisioning" in found["events"]:
        assert set(step.annotations) == set(volume_bindings.PROVISIONERS)


@pytest.mark.parametrize("case", CASES["volumes"], ids=lambda case: case["name"])
def test_volumes(case: dict[str, Any]) -> None:
    claim = _claim(case["claim"]) if "claim" in case else None
    step = volume_bindings.volume_step(_volume("v", case["volume"]), claim)
    found = {
        "phase": step.phase,
        "unbind": step.unbind,
        "claim": step.claim,
        "events": [reason for _, reason, _ in step.events],
    }
    assert {name: value for name, value in found.items() if value} == case["then"]


def test_both_point_at_each_other_and_a_second_look_changes_nothing() -> None:
    claim, volume = _claim({"size": "1Gi"}), _volume("v", {"size": "2Gi"})
    bound = volume_bindings.bound_volume(volume, claim)
    assert bound["spec"]["claimRef"]["uid"] == "mine"
    assert meta.annotations(bound) == {volume_bindings.BY_CONTROLLER: "yes"}
    taken = volume_bindings.bound_claim(claim, bound)
    assert taken["spec"]["volumeName"] == "v"
    assert set(meta.annotations(taken)) == {volume_bindings.BY_CONTROLLER, volume_bindings.COMPLETED}
    assert volume_bindings.bound_volume(bound, taken) is bound
    assert volume_bindings.bound_claim(taken, bound) is taken
    status = volume_bindings.claim_status(taken, "Bound", bound)
    assert status == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
    grown = {**status, "capacity": {"storage": "1Gi"}}
    assert volume_bindings.claim_status({**taken, "status": grown}, "Bound", bound) == grown
    free = volume_bindings.unbound_volume(bound)
    assert "claimRef" not in free["spec"]
    assert "annotations" not in free["metadata"]


def test_what_a_person_wrote_on_a_volume_stays() -> None:
    kept = _volume("v", {"size": "1Gi", "for": "mine", "uid": True})
    assert volume_bindings.unbound_volume(kept)["spec"]["claimRef"] == {"namespace": "default", "name": "mine"}

"""What a collector finds on /metrics of our server and of upstream's after the same requests: names, types, labels."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.scrapes import Served, scraped

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_ABSENT = Path(__file__).with_name("absent_metrics.yaml")
_POLICIES = "admissionregistration.k8s.io/v1"
_CONSTRAINTS = {
    "resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    ]
}
_RULE = {
    "type": "object",
    "x-kubernetes-validations": [{"rule": "self.a > 0"}],
    "properties": {"a": {"type": "integer"}},
}
_OBJECTS: list[dict[str, Any]] = [
    {
        "apiVersion": _POLICIES, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "not-bad"},
        "spec": {"matchConstraints": _CONSTRAINTS, "validations": [{"expression": "object.metadata.name != 'bad'"}],
                 "matchConditions": [{"name": "all", "expression": "true"}]},
    },
    {
        "apiVersion": _POLICIES, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "not-bad"},
        "spec": {"policyName": "not-bad", "validationActions": ["Deny"]},
    },
    {
        "apiVersion": _POLICIES, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "labels"},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": _CONSTRAINTS,
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
                "expression": "Object{metadata: Object.metadata{labels: {'mutated': 'yes'}}}"}}],
        },
    },
    {
        "apiVersion": _POLICIES, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "labels"},
        "spec": {"policyName": "labels"},
    },
    {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "names": {"kind": "Thing", "plural": "things"}, "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": _RULE}}}}],
        },
    },
    {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "ports"},
        "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]},
    },
    {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"},
        "spec": {"automountServiceAccountToken": False, "containers": [{"name": "a", "image": "a"}]},
    },
]  # fmt: skip
_THING = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"a": 1}}


def _asked(cluster: Cluster) -> None:
    """What is asked of both servers."""
    kubectl = cluster.kubectl
    kubectl("create", "serviceaccount", "default")
    for each in _OBJECTS:
        kubectl("create", "-f", "-", input=json.dumps(each))
    kubectl("wait", "--for=condition=Established", "crd/things.example.com", "--timeout=20s")

    def is_denied() -> bool:
        kubectl("delete", "configmap", "bad", "--ignore-not-found")
        return "denied request" in kubectl("create", "configmap", "bad", check=False)

    waits.blocked_until(is_denied, "the policy is in force")
    waits.blocked_until(lambda: "yes" in kubectl("create", "configmap", "probe", "--dry-run=server", "-o", "yaml"))
    kubectl("create", "configmap", "good")
    kubectl("get", "configmaps")
    waits.blocked_until(lambda: "created" in kubectl("create", "-f", "-", input=json.dumps(_THING), check=False))
    token = kubectl("create", "token", "default").strip()
    for shown in (token, "invented"):
        kubectl("get", "configmaps", kubeconfig=cluster.kubeconfig(token=shown), check=False)
    kubectl("get", "--raw", "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1")


async def _scraped(folder: Path, program: Path | None) -> dict[str, Served]:
    cluster = Cluster(folder, program=program)
    await asyncio.to_thread(cluster.__enter__)
    try:
        await asyncio.to_thread(_asked, cluster)
        async with cluster.session() as session:
            return await scraped(session)
    finally:
        await asyncio.to_thread(cluster.__exit__, None, None, None)


def _absent() -> list[str]:
    stated: Mapping[str, list[str]] = yaml.safe_load(_ABSENT.read_text(encoding="utf-8"))
    return [pattern for patterns in stated.values() for pattern in patterns]


async def test_what_upstream_measures(upstream: Callable[[str], Path], tmp_path: Path) -> None:
    theirs = await _scraped(tmp_path / "upstream", upstream("kube-apiserver"))
    ours = await _scraped(tmp_path / "ours", None)
    missing = set(theirs) - set(ours)
    excused = {name: [each for each in missing if fnmatch.fnmatchcase(each, name)] for name in _absent()}
    assert sorted(missing.difference(*excused.values())) == []
    assert [name for name, found in excused.items() if not found] == []
    differing = {
        name: ((served.kind, sorted(served.labels)), (ours[name].kind, sorted(ours[name].labels)))
        for name, served in theirs.items()
        # Without a sample nothing is said of labels.
        if name in ours and (served.kind != ours[name].kind
                             or (served.samples and ours[name].samples and served.labels != ours[name].labels))
    }  # fmt: skip
    assert differing == {}

"""Policies in a file: whom they fit, what they allow, and what a file must not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.kube_apiserver.authorization import abac
from keelson.kube_apiserver.registry.contexts import ANONYMOUS, User
from keelson.kube_apiserver.serving import request_infos

_KNOWN = ("system:authenticated",)


def _load(tmp_path: Path, *specs: dict[str, Any]) -> abac.Abac:
    path = tmp_path / "policies.jsonl"
    heads = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
    path.write_text("# comment\n\n" + "\n".join(json.dumps({**heads, "spec": spec}) for spec in specs))
    return abac.load(str(path))


@pytest.mark.parametrize(
    ("user", "method", "path", "allowed"),
    [
        (User("alice", _KNOWN), "DELETE", "/api/v1/namespaces/a/pods/b", True),
        (User("alice", _KNOWN), "GET", "/version", True),
        (User("kubelet", _KNOWN), "GET", "/api/v1/pods", True),
        (User("kubelet", _KNOWN), "POST", "/api/v1/namespaces/a/pods", False),
        (User("kubelet", _KNOWN), "POST", "/api/v1/namespaces/a/events", True),
        (User("kubelet", _KNOWN), "GET", "/apis/apps/v1/pods", False),
        (User("bob", ("devs", *_KNOWN)), "GET", "/api/v1/namespaces/projects/secrets/x", True),
        (User("bob", ("devs", *_KNOWN)), "GET", "/api/v1/namespaces/other/secrets/x", False),
        (User("eve", _KNOWN), "GET", "/healthz/etcd", True),
        (ANONYMOUS, "GET", "/healthz/etcd", False),
        (User("eve", _KNOWN), "POST", "/healthz/etcd", False),
    ],
)
def test_a_policy_that_fits_allows(tmp_path: Path, user: User, method: str, path: str, allowed: bool) -> None:
    mode = _load(
        tmp_path,
        {"user": "alice", "namespace": "*", "resource": "*", "apiGroup": "*", "nonResourcePath": "*"},
        {"user": "kubelet", "namespace": "*", "resource": "pods", "readonly": True},
        {"user": "kubelet", "namespace": "*", "resource": "events"},
        {"group": "devs", "namespace": "projects", "resource": "*", "apiGroup": "*", "readonly": True},
        {"user": "*", "nonResourcePath": "/healthz*", "readonly": True},
        {"namespace": "*", "resource": "*", "apiGroup": "*"},
    )
    verdict = mode.authorize(user, request_infos.of(method, path))
    assert (verdict.allowed is True) is allowed
    # It never denies what another mode may allow.
    assert verdict.allowed is not False


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"user":"alice"}', '{"kind":"Policy"}'])
def test_what_is_no_policy_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "policies.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigurationError, match="line 1"):
        abac.load(str(path))


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="readOnly"):
        _load(tmp_path, {"user": "a", "readOnly": True})

"""Which requests an audit policy records, and what a file must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.kube_apiserver.audit import policies
from keelson.kube_apiserver.audit.policies import LEVELS
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving import request_infos

_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: [system:kube-proxy]
    verbs: [watch]
    resources: [{group: "", resources: [endpoints, services]}]
  - level: None
    nonResourceURLs: ["/healthz*", /version]
  - level: Metadata
    omitStages: [ResponseStarted]
    resources: [{group: "", resources: [secrets, configmaps, serviceaccounts/token]}]
  - level: RequestResponse
    omitManagedFields: true
    namespaces: [special]
    resources:
      - {group: apps, resources: ["*/scale", "deployments/*"]}
      - {group: "", resources: [pods], resourceNames: [a]}
  - level: Request
    userGroups: [people]
"""
_USER = User("eve", ("people",))


def _load(tmp_path: Path, text: str) -> policies.Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return policies.load(str(path))


@pytest.mark.parametrize(
    ("user", "method", "path", "level"),
    [
        (User("system:kube-proxy"), "WATCH", "/api/v1/services", "None"),
        (_USER, "WATCH", "/api/v1/services", "Request"),
        (_USER, "GET", "/healthz/etcd", "None"),
        (_USER, "GET", "/versions", "Request"),
        (_USER, "GET", "/api/v1/namespaces/a/secrets/b", "Metadata"),
        (_USER, "POST", "/api/v1/namespaces/a/serviceaccounts/b/token", "Metadata"),
        (_USER, "GET", "/api/v1/namespaces/a/serviceaccounts/b", "Request"),
        (_USER, "PUT", "/apis/apps/v1/namespaces/special/statefulsets/b/scale", "RequestResponse"),
        (_USER, "PUT", "/apis/apps/v1/namespaces/special/deployments/b", "RequestResponse"),
        (_USER, "PUT", "/apis/apps/v1/namespaces/other/deployments/b", "Request"),
        (_USER, "GET", "/api/v1/namespaces/special/pods/a", "RequestResponse"),
        (_USER, "GET", "/api/v1/namespaces/special/pods/b", "Request"),
        (User("nobody"), "GET", "/api/v1/pods", "None"),
    ],
)
def test_the_first_rule_that_fits_decides(tmp_path: Path, user: User, method: str, path: str, level: str) -> None:
    policy = _load(tmp_path, _POLICY)
    watch = method == "WATCH"
    info = request_infos.of("GET" if watch else method, path, watch=watch)
    assert LEVELS[policy.verdict(user, info).level] == level


def test_stages_add_up_and_managed_fields_are_overridden(tmp_path: Path) -> None:
    policy = _load(tmp_path, _POLICY)
    secret = policy.verdict(_USER, request_infos.of("GET", "/api/v1/namespaces/a/secrets/b"))
    assert secret.omitted == {"RequestReceived", "ResponseStarted"}
    scale = policy.verdict(_USER, request_infos.of("PUT", "/apis/apps/v1/namespaces/special/deployments/b/scale"))
    assert scale.omitted == {"RequestReceived"}
    assert scale.omit_managed_fields


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{level: All}", 'rules[0].level: "All" is not one of'),
        ("{level: None, omitStages: [Begin]}", '"Begin" is not one of'),
        ("{level: None, verb: [get]}", "rules[0].verb: unknown field"),
        ("{level: None, nonResourceURLs: [/a], namespaces: [b]}", "cannot apply to both"),
        ("{level: None, nonResourceURLs: ['/a*b']}", "may end with"),
        ("{level: None, resources: [{group: '', resourceNames: [a]}]}", "requires at least one resource"),
    ],
)
def test_what_a_policy_must_not_say(tmp_path: Path, rule: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, f"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{rule}]\n")
    assert words in str(caught.value)

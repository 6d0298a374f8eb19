"""One good object of each kind, what is wrong with bad ones, and what may never change."""

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest

from keelson.api import schemas, validation

Check = Callable[..., list[tuple[str, str]]]
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
SELECTOR = {"matchLabels": {"a": "b"}}
JOB_TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}
CSR = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n").decode()
CRD = {
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com",
        "scope": "Namespaced",
        "names": {"plural": "crontabs", "kind": "CronTab"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
WEBHOOK = {
    "name": "a.example.com",
    "clientConfig": {"service": {"namespace": "n", "name": "s"}},
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
    "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}],
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
GOOD: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"a": "b"}, "binaryData": {"c": "aGk="}},
    "secrets": {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "", "tls.key": ""}},
    "namespaces": {},
    "serviceaccounts": {},
    "services": {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "web"}]}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]},
    "endpointslices.discovery.k8s.io": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 80}],
    },
    "nodes": {
        "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"], "taints": [{"key": "a", "effect": "NoExecute"}]}
    },
    "persistentvolumes": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}
    },
    "persistentvolumeclaims": {"spec": CLAIM},
    "limitranges": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}]}},
    "resourcequotas": {"spec": {"hard": {"pods": "3"}}},
    "replicationcontrollers": {"spec": {"template": TEMPLATE}},
    "podtemplates": {"template": TEMPLATE},
    "deployments.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "replicasets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "daemonsets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "statefulsets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "s"}},
    "controllerrevisions.apps": {"data": {"a": 1}, "revision": 1},
    "jobs.batch": {"spec": {"template": JOB_TEMPLATE}},
    "cronjobs.batch": {
        "spec": {"schedule": "*/5 0-6 * jan mon-fri", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}}
    },
    "horizontalpodautoscalers.autoscaling": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "behavior": {}}
    },
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": "50%", "selector": SELECTOR}},
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}},
    "certificatesigningrequests.certificates.k8s.io": {
        "spec": {"request": CSR, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
    },
    "ingresses.networking.k8s.io": {
        "spec": {
            "rules": [
                {
                    "host": "*.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "s", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ]
        }
    },
    "networkpolicies.networking.k8s.io": {
        "spec": {
            "podSelector": SELECTOR,
            "ingress": [
                {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}
            ],
        }
    },
    "ipaddresses.networking.k8s.io": {
        "metadata": {"name": "10.0.0.1"},
        "spec": {"parentRef": {"resource": "services", "name": "s", "namespace": "n"}},
    },
    "servicecidrs.networking.k8s.io": {"spec": {"cidrs": ["10.96.0.0/16", "fd00::/112"]}},
    "roles.rbac.authorization.k8s.io": {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    "clusterroles.rbac.authorization.k8s.io": {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
    "rolebindings.rbac.authorization.k8s.io": {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "User", "name": "system:u"}],
    },
    "clusterrolebindings.rbac.authorization.k8s.io": {
        "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "Group", "name": "g"}],
    },
    "priorityclasses.scheduling.k8s.io": {"value": 1000},
    "runtimeclasses.node.k8s.io": {"handler": "runc"},
    "storageclasses.storage.k8s.io": {"provisioner": "example.com/x"},
    "flowschemas.flowcontrol.apiserver.k8s.io": {"spec": {"priorityLevelConfiguration": {"name": "p"}}},
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    },
    "customresourcedefinitions.apiextensions.k8s.io": CRD,
    "apiservices.apiregistration.k8s.io": {
        "metadata": {"name": "v1.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "service": {"namespace": "n", "name": "s"},
        },
    },
    "validatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [WEBHOOK]},
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [WEBHOOK]},
    "validatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {"matchConstraints": {"resourceRules": WEBHOOK["rules"]}, "validations": [{"expression": "true"}]}
    },
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": {
        "spec": {"policyName": "p", "validationActions": ["Deny"]}
    },
}


@pytest.mark.parametrize("resource", GOOD)
def test_good_objects(create: Check, update: Check, resource: str) -> None:
    assert create(resource, copy.deepcopy(GOOD[resource])) == []
    assert update(resource, copy.deepcopy(GOOD[resource]), {"metadata.labels": {"x": "y"}}) == []


# A change of the good object: resource, {path: value}, the field that is complained of, part of the message.
BAD = [
    ("configmaps", {"data": {"a b": ""}}, "data[a b]", "a valid config key must consist of"),
    ("configmaps", {"data": {"c": ""}}, "data[c]", "duplicate of key present in binaryData"),
    ("configmaps", {"data": {"a": "x" * 1048577}}, "", "may not be more than 1048576 bytes"),
    ("services", {"spec": {}}, "spec.ports", "Required value"),
    ("services", {"spec": {"ports": [{"port": 0}]}}, "spec.ports[0].port", "between 1 and 65535"),
    ("services", {"spec": {"ports": [{"port": 1}], "type": "Odd"}}, "spec.type", "Unsupported value"),
    ("services", {"spec": {"ports": [{"port": 1, "nodePort": 3}]}}, "spec.ports[0].nodePort", "may not be used when"),
    ("services", {"spec": {"ports": [{"port": 1}], "externalIPs": ["x"]}}, "spec.externalIPs[0]", "valid IP address"),
    ("services", {"spec": {"type": "ExternalName"}}, "spec.externalName", "Required value"),
    ("deployments.apps", {"spec": {"selector": SELECTOR}}, "spec.template.spec.containers", "Required value"),
    ("deployments.apps", {"spec": {"template": TEMPLATE}}, "spec.selector", "Required value"),
    (
        "deployments.apps",
        {"spec": {"template": TEMPLATE, "selector": {}}},
        "spec.selector",
        "empty selector is invalid for deployment",
    ),
    (
        "deployments.apps",
        {"spec": {"template": TEMPLATE, "selector": {"matchLabels": {"x": "y"}}}},
        "spec.template.metadata.labels",
        "`selector` does not match template `labels`",
    ),
    (
        "deployments.apps",
        {"spec": {"selector": SELECTOR, "template": TEMPLATE, "replicas": -1}},
        "spec.replicas",
        "Invalid value: -1: must be greater than or equal to 0",
    ),
    (
        "deployments.apps",
        {
            "spec": {
                "selector": SELECTOR,
                "template": TEMPLATE,
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}},
            }
        },
        "spec.strategy.rollingUpdate.maxUnavailable",
        "may not be 0 when `maxSurge` is 0",
    ),
    (
        "daemonsets.apps",
        {"spec": {"selector": SELECTOR, "template": {**TEMPLATE, "spec": {**JOB_TEMPLATE["spec"]}}}},
        "spec.template.spec.restartPolicy",
        'Unsupported value: "Never": supported values: "Always"',
    ),
    ("jobs.batch", {"spec": {"template": TEMPLATE}}, "spec.template.spec.restartPolicy", '"Never", "OnFailure"'),
    (
        "jobs.batch",
        {"spec": {"template": JOB_TEMPLATE, "completionMode": "Indexed", "parallelism": 1}},
        "spec.completions",
        "when completion mode is Indexed",
    ),
    ("cronjobs.batch", {"spec": {"schedule": "60 * * * *"}}, "spec.schedule", "above maximum (59)"),
    ("cronjobs.batch", {"spec": {"schedule": "* * * *"}}, "spec.schedule", "expected exactly 5 fields"),
    ("cronjobs.batch", {"spec": {"timeZone": "Local"}}, "spec.timeZone", "explicit time zone"),
    ("nodes", {"spec": {"podCIDRs": ["10.0.0.0"]}}, "spec.podCIDRs[0]", "valid CIDR"),
    ("persistentvolumeclaims", {"spec": {**CLAIM, "accessModes": []}}, "spec.accessModes", "at least 1 access mode"),
    (
        "persistentvolumes",
        {"spec": {"accessModes": ["ReadWriteOnce"], "nfs": {"server": "a", "path": "/"}}},
        "spec.capacity",
        "Required",
    ),
    ("poddisruptionbudgets.policy", {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, "spec", "cannot be both set"),
    ("poddisruptionbudgets.policy", {"spec": {"minAvailable": "half"}}, "spec.minAvailable", "percent"),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": {"scaleTargetRef": {"kind": "D", "name": "d"}}},
        "spec.maxReplicas",
        "greater than 0",
    ),
    (
        "leases.coordination.k8s.io",
        {"spec": {"leaseDurationSeconds": 0}},
        "spec.leaseDurationSeconds",
        "greater than 0",
    ),
    ("ingresses.networking.k8s.io", {"spec": {}}, "spec", "either `defaultBackend` or `rules` must be specified"),
    (
        "networkpolicies.networking.k8s.io",
        {
            "spec": {
                "podSelector": {},
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}],
            }
        },
        "spec.ingress[0].from[0].ipBlock.except[0]",
        "must be a strict subset of `cidr`",
    ),
    ("roles.rbac.authorization.k8s.io", {"rules": [{"verbs": []}]}, "rules[0].verbs", "at least one value"),
    (
        "rolebindings.rbac.authorization.k8s.io",
        {"roleRef": {"kind": "Pod", "name": "r"}},
        "roleRef.kind",
        'Unsupported value: "Pod": supported values: "ClusterRole", "Role"',
    ),
    ("priorityclasses.scheduling.k8s.io", {"value": 1000000001}, "value", "maximum allowed value"),
    (
        "certificatesigningrequests.certificates.k8s.io",
        {"spec": {"request": CSR, "signerName": "a.b/c", "usages": ["flying"]}},
        "spec.usages[0]",
        'Unsupported value: "flying"',
    ),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        {"metadata": {"name": "other"}},
        "metadata.name",
        'must be spec.names.plural+\\".\\"+spec.group'.replace("\\", ""),
    ),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        {"webhooks": [{**WEBHOOK, "name": "short"}]},
        "webhooks[0].name",
        "at least three segments",
    ),
    (
        "endpointslices.discovery.k8s.io",
        {"endpoints": [{"addresses": ["127.0.0.1"]}]},
        "endpoints[0].addresses[0]",
        "may not be in the loopback range",
    ),
]


@pytest.mark.parametrize(("resource", "change", "field", "message"), BAD)
def test_bad_objects(create: Check, resource: str, change: dict[str, Any], field: str, message: str) -> None:
    obj = {**copy.deepcopy(GOOD[resource]), **change}
    if resource == "cronjobs.batch":
        obj["spec"] = {**GOOD[resource]["spec"], **change["spec"]}
    found = create(resource, obj)
    assert field in [name for name, _ in found], found
    assert any(message in text for name, text in found if name == field), found


FIXED = [
    ("deployments.apps", {"spec.selector": {"matchLabels": {"x": "y"}}}, "spec.selector", "field is immutable"),
    ("statefulsets.apps", {"spec.serviceName": "other"}, "spec", "updates to statefulset spec for fields other than"),
    ("jobs.batch", {"spec.completions": 5}, "spec.completions", "field is immutable"),
    ("jobs.batch", {"spec.template.spec.hostNetwork": True}, "spec.template", "field is immutable"),
    ("secrets", {"type": "Opaque"}, "type", "field is immutable"),
    ("rolebindings.rbac.authorization.k8s.io", {"roleRef.name": "x"}, "roleRef", "cannot change roleRef"),
    ("nodes", {"spec.podCIDR": "10.1.0.0/24", "spec.podCIDRs": ["10.1.0.0/24"]}, "spec.podCIDR", "may not change"),
    ("priorityclasses.scheduling.k8s.io", {"value": 1}, "value", "may not be changed in an update."),
    ("persistentvolumeclaims", {"spec.accessModes": ["ReadWriteMany"]}, "spec", "spec is immutable after creation"),
    ("storageclasses.storage.k8s.io", {"provisioner": "a.b/c"}, "provisioner", "updates to provisioner are forbidden."),
    ("endpointslices.discovery.k8s.io", {"addressType": "FQDN"}, "addressType", "field is immutable"),
    ("runtimeclasses.node.k8s.io", {"handler": "gvisor"}, "handler", "field is immutable"),
    ("controllerrevisions.apps", {"data": {"a": 2}}, "data", "field is immutable"),
]


@pytest.mark.parametrize(("resource", "change", "field", "message"), FIXED)
def test_what_is_for_life(update: Check, resource: str, change: dict[str, Any], field: str, message: str) -> None:
    found = update(resource, copy.deepcopy(GOOD[resource]), change)
    assert any(name == field and message in text for name, text in found), found


def test_frozen_data_stays(update: Check) -> None:
    frozen = {"data": {"a": "b"}, "immutable": True}
    assert [f for f, _ in update("configmaps", frozen, {"data.a": "c"})] == ["data"]
    assert [f for f, _ in update("configmaps", frozen, {"immutable": False})] == ["immutable"]
    assert update("configmaps", {"data": {"a": "b"}}, {"immutable": True}) == []


def test_claims_may_grow(update: Check) -> None:
    assert update("persistentvolumeclaims", {"spec": CLAIM}, {"spec.volumeName": "pv"}) == []
    bigger = {"spec.resources": {"requests": {"storage": "2Gi"}}}
    smaller = {"spec.resources": {"requests": {"storage": "1Mi"}}}
    bound = {"phase": "Bound"}
    assert update("persistentvolumeclaims", {"spec": CLAIM}, bigger, status=bound) == []
    found = update("persistentvolumeclaims", {"spec": CLAIM}, smaller, status=bound)
    assert [field for field, _ in found] == ["spec.resources.requests.storage"]


def test_service_addresses_are_for_life(update: Check) -> None:
    spec = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}
    found = update("services", {"spec": spec}, {"spec.clusterIP": "10.0.0.2", "spec.clusterIPs": ["10.0.0.2"]})
    assert [field for field, _ in found] == ["spec.clusterIPs[0]"]
    assert "may not change once set" in found[0][1]


def test_approval_and_denial_exclude_each_other(update: Check) -> None:
    csr = "certificatesigningrequests.certificates.k8s.io"
    conditions = [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]
    found = update(csr, GOOD[csr], {"status.conditions": conditions}, subresource="approval")
    assert found[0][0] == "status.conditions"
    assert "mutually exclusive" in found[0][1]


WIDGET = schemas.structural(
    {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 10},
                    "name": {"type": "string", "pattern": "^a", "maxLength": 3},
                    "mode": {"type": "string", "enum": ["x", "y"]},
                    "share": {"x-kubernetes-int-or-string": True},
                    "when": {"type": "string", "format": "date-time"},
                    "tags": {
                        "type": "array",
                        "x-kubernetes-list-type": "set",
                        "maxItems": 2,
                        "items": {"type": "string"},
                    },
                    "either": {"type": "string", "oneOf": [{"minLength": 5}, {"pattern": "^b"}]},
                },
            }
        },
    }
)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({}, "spec.size", "Required value"),
        ({"size": "1"}, "spec.size", 'spec.size in body must be of type integer: "string"'),
        ({"size": 1.5}, "spec.size", 'must be of type integer: "number"'),
        ({"size": None}, "spec.size", 'must be of type integer: "null"'),
        ({"size": 0}, "spec.size", "spec.size in body should be greater than or equal to 1"),
        ({"size": 11}, "spec.size", "should be less than or equal to 10"),
        ({"size": 1, "name": "b"}, "spec.name", "spec.name in body should match '^a'"),
        ({"size": 1, "name": "aaaa"}, "spec.name", "Too long: may not be more than 3 bytes"),
        ({"size": 1, "mode": "z"}, "spec.mode", 'Unsupported value: "z": supported values: "x", "y"'),
        ({"size": 1, "share": True}, "spec.share", "must be of type integer,string"),
        ({"size": 1, "when": "now"}, "spec.when", "must be of type date-time"),
        ({"size": 1, "tags": ["a", "a"]}, "spec.tags[1]", 'Duplicate value: "a"'),
        ({"size": 1, "tags": ["a", "b", "c"]}, "spec.tags", "Too many: 3: must have at most 2 items"),
        (
            {"size": 1, "either": "bbbbb"},
            "<nil>",
            '"spec.either" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
    ],
)
def test_custom_resources_obey_their_schema(spec: dict[str, Any], field: str, message: str) -> None:
    found = validation.validate_structural(WIDGET, {"spec": spec})
    assert [cause["field"] for cause in found] == [field], found
    assert message in found[0]["message"]


def test_unchanged_values_are_not_judged_again() -> None:
    old = {"spec": {"size": 99}}
    assert validation.validate_structural(WIDGET, {"spec": {"size": 99, "name": "a"}}, old) == []
    assert validation.validate_structural(WIDGET, {"spec": {"size": 98}}, old) != []


def test_good_custom_resources() -> None:
    spec = {"size": 3, "name": "ab", "share": "5%", "when": "2026-01-01T00:00:00Z", "tags": ["a"], "either": "b"}
    assert validation.validate_structural(WIDGET, {"spec": spec}) == []


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "object", "properties": {"a": {}}}, "properties[a].type"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "properties[a].items"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}, "properties[a].pattern"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "properties[a].type"),
        ({"type": "string"}, "type"),
        (None, ""),
    ],
)
def test_schemas_must_be_structural(create: Check, schema: Any, field: str) -> None:
    crd = copy.deepcopy(CRD)
    crd["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": schema} if schema else {}  # type: ignore[index]
    # What all versions say alike is told of as the specification's.
    base = "spec.validation.openAPIV3Schema" if schema else "spec.versions[0].schema.openAPIV3Schema"
    found = create("customresourcedefinitions.apiextensions.k8s.io", crd)
    assert [name for name, _ in found] == [f"{base}.{field}" if field else base]

"""The objects that requests start from: valid, and with what decoders and validation have most to do with."""

from __future__ import annotations

from typing import Any

NAMESPACE = "fuzz"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
CRON_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"
CUSTOM = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

_CONTAINER = {
    "name": "c",
    "image": "i",
    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}, "requests": {"cpu": 0.1}},
    "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3},
    "securityContext": {"runAsUser": 1, "capabilities": {"add": ["NET_ADMIN"]}},
    "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}],
}
_POD_SPEC = {
    "containers": [_CONTAINER],
    "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "x", "items": []}}]}}],
    "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {}}}
    ],
}
_RULES = [{"rule": "self.replicas > 0 && self.name.size() < 10", "message": "m", "messageExpression": "'a' + 'b'"}]
_STRUCTURE = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": _RULES,
            "properties": {
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "name": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 20},
                "list": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 5, "items": {"type": "string"}},
                "map": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
            },
        }
    },
}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "fuzzes.fuzz.example.org"},
    "spec": {
        "group": "fuzz.example.org",
        "names": {"plural": "fuzzes", "singular": "fuzz", "kind": "Fuzz", "listKind": "FuzzList", "shortNames": ["fz"]},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": _STRUCTURE},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [{"name": "R", "type": "integer", "jsonPath": ".spec.replicas"}],
                "selectableFields": [{"jsonPath": ".spec.name"}],
            }
        ],
    },
}


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": {"a": "b"}, "annotations": {"c": "d"}}


SEEDS: list[tuple[str, dict[str, Any]]] = [
    (CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("seed"), "data": {"a": "1"}}),
    (PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": _meta("seed"), "spec": _POD_SPEC}),
    (
        DEPLOYMENTS,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _meta("seed"),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"a": "b"}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": _POD_SPEC},
            },
        },
    ),
    (
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta("seed"),
            "spec": {"ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}], "selector": {"a": "b"}},
        },
    ),
    (
        f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": _meta("seed"),
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
            },
        },
    ),
    (
        CRON_JOBS,
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": _meta("seed"),
            "spec": {
                "schedule": "*/5 * * * *",
                "timeZone": "Etc/UTC",
                "jobTemplate": {"spec": {"template": {"spec": {**_POD_SPEC, "restartPolicy": "Never"}}}},
            },
        },
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "seed"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
        },
    ),
    (CUSTOM, DEFINITION),
]

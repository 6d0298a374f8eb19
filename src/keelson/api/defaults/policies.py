"""Defaults of kinds that say who may do what, and how much: RBAC, network policies, flow control, autoscaling."""

from __future__ import annotations

from typing import Any

from keelson.api.meta import Object

_RBAC = "rbac.authorization.k8s.io"


def role_binding(obj: Object) -> None:
    """Defaults of RoleBinding and ClusterRoleBinding."""
    role_ref = obj.get("roleRef")
    if isinstance(role_ref, dict) and not role_ref.get("apiGroup"):
        role_ref["apiGroup"] = _RBAC
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = _RBAC


def network_policy(obj: Object) -> None:
    """Defaults of a NetworkPolicy."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")


def ingress_class(obj: Object) -> None:
    """Defaults of an IngressClass."""
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def flow_schema(obj: Object) -> None:
    """Defaults of a FlowSchema."""
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def priority_level(obj: Object) -> None:
    """Defaults of a PriorityLevelConfiguration."""
    spec = obj.setdefault("spec", {})
    if "exempt" in spec or spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if "limited" in spec:
        limited = spec["limited"]
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not queuing.get(key):
                    queuing[key] = value


_SCALE_UP: list[dict[str, Any]] = [
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
]
_SCALE_DOWN: list[dict[str, Any]] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def autoscaler_v2(obj: Object) -> None:
    """Defaults of an autoscaling/v2 HorizontalPodAutoscaler."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.setdefault("scaleUp", {})
        up.setdefault("stabilizationWindowSeconds", 0)
        for rules, policies in ((up, _SCALE_UP), (behavior.setdefault("scaleDown", {}), _SCALE_DOWN)):
            rules.setdefault("selectPolicy", "Max")
            if rules.get("policies") is None:
                rules["policies"] = [dict(policy) for policy in policies]


def autoscaler_v1(obj: Object) -> None:
    """Defaults of an autoscaling/v1 HorizontalPodAutoscaler."""
    obj.setdefault("spec", {}).setdefault("minReplicas", 1)


def resource_claim(obj: Object) -> None:
    """Defaults of a ResourceClaim's device requests."""
    _claim_spec(obj.get("spec") or {})


def resource_claim_template(obj: Object) -> None:
    """Defaults of a ResourceClaimTemplate's device requests."""
    _claim_spec((obj.get("spec") or {}).get("spec") or {})


def _claim_spec(spec: Object) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        exactly = [request["exactly"]] if "exactly" in request else []
        for wanted in [*exactly, *(request.get("firstAvailable") or ())]:
            if not wanted.get("allocationMode"):
                wanted["allocationMode"] = "ExactCount"
            if wanted["allocationMode"] == "ExactCount" and not wanted.get("count"):
                wanted["count"] = 1


KINDS = {
    (f"{_RBAC}/v1", "RoleBinding"): role_binding,
    (f"{_RBAC}/v1", "ClusterRoleBinding"): role_binding,
    ("networking.k8s.io/v1", "NetworkPolicy"): network_policy,
    ("networking.k8s.io/v1", "IngressClass"): ingress_class,
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"): flow_schema,
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"): priority_level,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): autoscaler_v2,
    ("autoscaling/v1", "HorizontalPodAutoscaler"): autoscaler_v1,
    ("resource.k8s.io/v1", "ResourceClaim"): resource_claim,
    ("resource.k8s.io/v1", "ResourceClaimTemplate"): resource_claim_template,
}

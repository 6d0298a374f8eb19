"""What an update of a Service keeps of what was allocated to it (core/v1 Service, "clusterIP", "nodePort")."""

from __future__ import annotations

from keelson.api.meta import Object

_ADDRESSES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


def _has_node_ports(spec: Object) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def update(new: Object, old: Object) -> None:
    """Keeps what was allocated where the update names nothing, and drops what the new type has no use for.

    A value that differs from the stored one is the user's and stays for the validator.
    """
    spec, before = new.setdefault("spec", {}), old.get("spec") or {}
    if spec.get("type") == "ExternalName":
        if before.get("type") != "ExternalName":
            for field in _ADDRESSES:
                if spec.get(field) == before.get(field):
                    spec.pop(field, None)
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
            _drop_load_balancing(spec, before)
        return
    if before.get("type") != "ExternalName" and not spec.get("clusterIP") and not spec.get("clusterIPs"):
        for field in _ADDRESSES:
            if field in before:
                spec.setdefault(field, before[field])
    allocated = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
    asked = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    for port in spec.get("ports") or ():
        had = allocated.get((port.get("protocol"), port.get("port")))
        if _has_node_ports(spec):
            if had and not port.get("nodePort") and had not in asked:
                port["nodePort"] = had
        elif _has_node_ports(before) and port.get("nodePort") == had:
            port.pop("nodePort", None)
    local = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    health = before.get("healthCheckNodePort")
    if local and health and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = health
    elif not local and spec.get("healthCheckNodePort") == health:
        spec.pop("healthCheckNodePort", None)
    _drop_load_balancing(spec, before)


def _drop_load_balancing(spec: Object, before: Object) -> None:
    """Drops, unless it was changed, what only a reachable or a balanced service may say."""
    kind = spec.get("type")
    if kind != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) == before.get(field):
                spec.pop(field, None)
    if kind not in ("NodePort", "LoadBalancer") and not (kind == "ClusterIP" and spec.get("externalIPs")):
        policy = spec.get("externalTrafficPolicy")
        if policy == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)

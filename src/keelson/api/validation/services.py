"""The rules for Services and what names their backends (core/v1 Service, Endpoints; discovery.k8s.io/v1)."""

from __future__ import annotations

import ipaddress
from typing import Any

from keelson.api.meta import Object
from keelson.api.validation import causes, names, object_metadata
from keelson.api.validation.causes import Causes

_TYPES = frozenset({"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"})
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
_AFFINITIES = frozenset({"ClientIP", "None"})
_TRAFFIC = frozenset({"Cluster", "Local"})
_DISTRIBUTIONS = frozenset({"PreferClose", "PreferSameZone", "PreferSameNode"})
_FAMILIES = frozenset({"IPv4", "IPv6"})
_FAMILY_POLICIES = frozenset({"SingleStack", "PreferDualStack", "RequireDualStack"})
_ADDRESS_TYPES = frozenset({"IPv4", "IPv6", "FQDN"})
MAX_AFFINITY_SECONDS = 86400


def _ports(out: Causes, spec: Object) -> None:
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        out.append(causes.required("spec.ports"))
    seen_names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name, number, protocol = port.get("name"), port.get("port") or 0, port.get("protocol")
        if not name:
            if len(ports) > 1:
                out.append(causes.required(f"{path}.name"))
        else:
            complaint = names.dns_label(name)
            if complaint:
                out.append(causes.invalid(f"{path}.name", name, complaint))
            elif name in seen_names:
                out.append(causes.duplicate(f"{path}.name", name))
            seen_names.add(name)
        if names.port_number(number):
            out.append(causes.invalid(f"{path}.port", number, names.port_number(number)))
        causes.one_of(out, f"{path}.protocol", protocol, _PROTOCOLS)
        target = port.get("targetPort")
        complaint = names.port_number(target) if isinstance(target, int) else names.port_name(target or "")
        if complaint:
            out.append(causes.invalid(f"{path}.targetPort", target, complaint))
        if (protocol, number) in seen:
            out.append(causes.duplicate(path, {"protocol": protocol, "port": number}))
        seen.add((protocol, number))
        node_port = port.get("nodePort")
        if node_port:
            if spec.get("type") == "ClusterIP":
                detail = "may not be used when `type` is 'ClusterIP'"
                out.append(causes.forbidden(f"{path}.nodePort", detail))
            elif (protocol, node_port) in node_ports:
                out.append(causes.duplicate(f"{path}.nodePort", node_port))
            node_ports.add((protocol, node_port))


def _cluster_ips(out: Causes, spec: Object) -> None:
    addresses = spec.get("clusterIPs") or []
    primary = spec.get("clusterIP") or ""
    if spec.get("type") == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field):
                detail = "may not be set when `type` is 'ExternalName'"
                out.append(causes.forbidden(f"spec.{field}", detail))
        return
    if addresses and addresses[0] != primary:
        out.append(causes.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif primary and not addresses:
        out.append(causes.required("spec.clusterIPs"))
    if len(addresses) > 2:
        detail = "may only hold up to 2 values"
        out.append(causes.invalid("spec.clusterIPs", addresses, detail))
    for index, address in enumerate(addresses):
        if address == "None":
            if len(addresses) > 1:
                detail = "'None' must be the first and only value"
                out.append(causes.invalid(f"spec.clusterIPs[{index}]", address, detail))
        elif names.ip_address(address):
            out.append(causes.invalid(f"spec.clusterIPs[{index}]", address, names.ip_address(address)))
    if "ipFamilyPolicy" in spec and spec["ipFamilyPolicy"] not in _FAMILY_POLICIES:
        out.append(causes.unsupported("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], _FAMILY_POLICIES))
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            out.append(causes.unsupported(f"spec.ipFamilies[{index}]", family, _FAMILIES))
        elif family in families[:index]:
            out.append(causes.duplicate(f"spec.ipFamilies[{index}]", family))


def _external(out: Causes, spec: Object) -> None:
    for index, address in enumerate(spec.get("externalIPs") or ()):
        complaint = names.ip_address(address)
        if complaint:
            out.append(causes.invalid(f"spec.externalIPs[{index}]", address, complaint))
    for index, source in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        complaint = names.cidr(source.strip())
        if complaint:
            out.append(causes.invalid(f"spec.loadBalancerSourceRanges[{index}]", source, complaint))
    kind = spec.get("type")
    external = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    policy = spec.get("externalTrafficPolicy")
    if external:
        causes.one_of(out, "spec.externalTrafficPolicy", policy, _TRAFFIC)
    elif policy:
        detail = "may only be set for externally-accessible services"
        out.append(causes.invalid("spec.externalTrafficPolicy", policy, detail))
    if spec.get("healthCheckNodePort") and not (kind == "LoadBalancer" and policy == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        out.append(causes.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail))
    if kind != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) is not None:
                detail = "may only be used when `type` is 'LoadBalancer'"
                out.append(causes.forbidden(f"spec.{field}", detail))


def create_service(obj: Object) -> Causes:
    """A Service, whether new or changed."""
    out: Causes = []
    spec = obj.get("spec") or {}
    causes.one_of(out, "spec.type", spec.get("type"), _TYPES)
    _ports(out, spec)
    _cluster_ips(out, spec)
    _external(out, spec)
    if spec.get("type") == "ExternalName":
        name = (spec.get("externalName") or "").removesuffix(".")
        complaint = names.dns_subdomain(name) if name else ""
        if not name:
            out.append(causes.required("spec.externalName"))
        elif complaint:
            out.append(causes.invalid("spec.externalName", name, complaint))
    else:
        policy = spec.get("internalTrafficPolicy")
        causes.one_of(out, "spec.internalTrafficPolicy", policy, _TRAFFIC)
    causes.one_of(out, "spec.sessionAffinity", spec.get("sessionAffinity"), _AFFINITIES)
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < seconds <= MAX_AFFINITY_SECONDS:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            detail = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
            out.append(causes.invalid(path, seconds, detail))
    if spec.get("selector"):
        object_metadata.label_map(out, "spec.selector", spec["selector"])
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        out.append(causes.unsupported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    return out


def update_service(new: Object, old: Object) -> Causes:
    """A change of a Service: addresses stay while the type keeps them."""
    out: Causes = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" not in (spec.get("type"), before.get("type")):
        previous, now = before.get("clusterIPs") or [], spec.get("clusterIPs") or []
        if before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"]:
            detail = "may not change once set"
            out.append(causes.invalid("spec.clusterIPs[0]", now or spec.get("clusterIP"), detail))
        elif len(previous) > 1 and len(now) > 1 and previous[1] != now[1]:
            out.append(causes.invalid("spec.clusterIPs[1]", now, "may not change once set"))
        families, was = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
        if families and was and families[0] != was[0]:
            out.append(causes.invalid("spec.ipFamilies[0]", families, "may not change once set"))
    if spec.get("type") == before.get("type") == "LoadBalancer":
        causes.unchanged(out, "spec.loadBalancerClass", spec.get("loadBalancerClass"), before.get("loadBalancerClass"))
    return out + create_service(new)


def _endpoint_ip(out: Causes, path: str, text: str) -> None:
    complaint = names.ip_address(text)
    if complaint:
        out.append(causes.invalid(path, text, complaint))
        return
    address = ipaddress.ip_address(text)
    for forbidden, what in (
        (address.is_unspecified, "may not be unspecified (0.0.0.0 or ::)"),
        (address.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (address.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ):
        if forbidden:
            out.append(causes.invalid(path, text, what))


def create_endpoints(obj: Object) -> Causes:
    """Endpoints."""
    out: Causes = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                _endpoint_ip(out, f"{path}.{field}[{number}].ip", address.get("ip") or "")
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            out.append(causes.required(path, "must specify `addresses` or `notReadyAddresses`"))
        ports = subset.get("ports") or []
        for number, port in enumerate(ports):
            if not port.get("name") and len(ports) > 1:
                out.append(causes.required(f"{path}.ports[{number}].name"))
            complaint = names.port_number(port.get("port") or 0)
            if complaint:
                out.append(causes.invalid(f"{path}.ports[{number}].port", port.get("port"), complaint))
            causes.one_of(out, f"{path}.ports[{number}].protocol", port.get("protocol"), _PROTOCOLS)
    return out


def create_slice(obj: Object) -> Causes:
    """An EndpointSlice."""
    out: Causes = []
    kind = obj.get("addressType")
    causes.one_of(out, "addressType", kind, _ADDRESS_TYPES)
    endpoints = obj.get("endpoints") or []
    if len(endpoints) > 1000:
        out.append(causes.too_many("endpoints", len(endpoints), 1000))
    for index, endpoint in enumerate(endpoints):
        path = f"endpoints[{index}]"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            out.append(causes.required(f"{path}.addresses", "must contain at least 1 address"))
        if len(addresses) > 100:
            out.append(causes.too_many(f"{path}.addresses", len(addresses), 100))
        for number, address in enumerate(addresses):
            where = f"{path}.addresses[{number}]"
            if kind == "FQDN":
                complaint = names.dns_subdomain(address)
                if complaint:
                    out.append(causes.invalid(where, address, complaint))
            else:
                _endpoint_ip(out, where, address)
                if not names.ip_address(address) and (":" in address) != (kind == "IPv6"):
                    what = "an IPv6" if kind == "IPv6" else "an IPv4"
                    out.append(causes.invalid(where, address, f"must be {what} address"))
    ports = obj.get("ports") or []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name") or ""
        if name in seen:
            out.append(causes.duplicate(f"ports[{index}].name", name))
        seen.add(name)
        if name and names.dns_label(name):
            out.append(causes.invalid(f"ports[{index}].name", name, names.dns_label(name)))
        causes.one_of(out, f"ports[{index}].protocol", port.get("protocol"), _PROTOCOLS)
    return out


def update_slice(new: Object, old: Object) -> Causes:
    """A change of an EndpointSlice: its address type is for life."""
    out = create_slice(new)
    causes.unchanged(out, "addressType", new.get("addressType"), old.get("addressType"))
    return out


CREATE = {
    ("v1", "Service"): create_service,
    ("v1", "Endpoints"): create_endpoints,
    ("discovery.k8s.io/v1", "EndpointSlice"): create_slice,
}
UPDATE = {
    ("v1", "Service", ""): update_service,
    ("discovery.k8s.io/v1", "EndpointSlice", ""): update_slice,
}

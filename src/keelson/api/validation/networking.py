"""The rules for networking.k8s.io/v1: ingresses, network policies, address ranges."""

from __future__ import annotations

import ipaddress

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.strategies import same
from keelson.api.validation import causes, names, selectors
from keelson.api.validation.causes import Causes
from keelson.api.validation.containers import port_reference

_PATH_TYPES = ("Exact", "Prefix", "ImplementationSpecific")
_POLICY_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def _backend(out: Causes, path: str, backend: Object) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        out.append(causes.invalid(path, "", "resource or service backend is required"))
    elif service is not None and resource is not None:
        out.append(causes.invalid(path, "", "cannot set both resource and service backends"))
    if service is not None:
        name = service.get("name")
        if not name:
            out.append(causes.required(f"{path}.service.name"))
        elif names.dns_1035_label(name):
            out.append(causes.invalid(f"{path}.service.name", name, names.dns_1035_label(name)))
        port = service.get("port") or {}
        if not port.get("name") and not port.get("number"):
            out.append(causes.required(f"{path}.service.port", "port name or number is required"))
        elif port.get("name") and port.get("number"):
            out.append(causes.invalid(f"{path}.service.port", port, "cannot set both port name & port number"))


def _host(out: Causes, path: str, host: str) -> None:
    complaint = names.dns_subdomain(host.removeprefix("*."))
    if complaint:
        out.append(causes.invalid(path, host, complaint))
    elif not names.ip_address(host):
        out.append(causes.invalid(path, host, "must be a DNS name, not an IP address"))


def create_ingress(obj: Object) -> Causes:
    """An Ingress."""
    out: Causes = []
    spec = obj.get("spec") or {}
    rules, default = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and default is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        out.append(causes.invalid("spec", rules, detail))
    if default is not None:
        _backend(out, "spec.defaultBackend", default)
    for index, rule in enumerate(rules):
        if rule.get("host"):
            _host(out, f"spec.rules[{index}].host", rule["host"])
        http = rule.get("http")
        if http is None:
            continue
        paths = http.get("paths") or []
        if not paths:
            out.append(causes.required(f"spec.rules[{index}].http.paths"))
        for number, found in enumerate(paths):
            where = f"spec.rules[{index}].http.paths[{number}]"
            kind, text = found.get("pathType"), found.get("path") or ""
            if kind is None:
                out.append(causes.required(f"{where}.pathType", "pathType must be specified"))
            elif kind not in _PATH_TYPES:
                out.append(causes.unsupported(f"{where}.pathType", kind, _PATH_TYPES))
            elif kind != "ImplementationSpecific" and not text.startswith("/"):
                out.append(causes.invalid(f"{where}.path", text, "must be an absolute path"))
            elif kind != "ImplementationSpecific" and "//" in text:
                out.append(causes.invalid(f"{where}.path", text, "must not contain '//'"))
            _backend(out, f"{where}.backend", found.get("backend") or {})
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            _host(out, f"spec.tls[{index}].hosts[{number}]", host)
    return out


def _peer(out: Causes, path: str, peer: Object) -> None:
    given = [kind for kind in ("podSelector", "namespaceSelector", "ipBlock") if kind in peer]
    if not given:
        out.append(causes.required(path, "must specify a peer"))
    elif "ipBlock" in given and len(given) > 1:
        detail = "may not specify both ipBlock and another peer"
        out.append(causes.forbidden(path, detail))
    for kind in ("podSelector", "namespaceSelector"):
        selectors.label_selector(out, f"{path}.{kind}", peer.get(kind))
    block = peer.get("ipBlock")
    if block is not None:
        network = block.get("cidr") or ""
        if names.cidr(network):
            out.append(causes.invalid(f"{path}.ipBlock.cidr", network, names.cidr(network)))
            return
        whole = ipaddress.ip_network(network, strict=False)
        for index, exception in enumerate(block.get("except") or ()):
            where = f"{path}.ipBlock.except[{index}]"
            if names.cidr(exception):
                out.append(causes.invalid(where, exception, names.cidr(exception)))
                continue
            part = ipaddress.ip_network(exception, strict=False)
            if part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type]
                out.append(causes.invalid(where, exception, f"must be a strict subset of `cidr` ({network})"))


def create_policy(obj: Object) -> Causes:
    """A NetworkPolicy."""
    out: Causes = []
    spec = obj.get("spec") or {}
    selectors.label_selector(out, "spec.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _policy_port(out, f"{path}.ports[{number}]", port)
            for number, peer in enumerate(rule.get(peers) or ()):
                _peer(out, f"{path}.{peers}[{number}]", peer)
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        out.append(causes.invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
    for index, kind in enumerate(types):
        if kind not in _POLICY_TYPES:
            out.append(causes.unsupported(f"spec.policyTypes[{index}]", kind, _POLICY_TYPES))
    return out


def _policy_port(out: Causes, path: str, port: Object) -> None:
    if port.get("protocol") not in _PROTOCOLS:
        out.append(causes.unsupported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS))
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        port_reference(out, f"{path}.port", number)
    if end is not None:
        if number is None or isinstance(number, str):
            detail = "may not be specified when `port` is not specified or is not an integer"
            out.append(causes.invalid(f"{path}.endPort", end, detail))
        elif end < number:
            out.append(causes.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))


def create_address(obj: Object) -> Causes:
    """An IPAddress: it names itself in canonical form, and what it belongs to."""
    out: Causes = []
    name = meta.name(obj)
    if not names.ip_address(name) and str(ipaddress.ip_address(name)) != name:
        out.append(causes.invalid("metadata.name", name, "must be in canonical form"))
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        out.append(causes.required("spec.parentRef"))
    else:
        for field in ("resource", "name"):
            if not parent.get(field):
                out.append(causes.required(f"spec.parentRef.{field}"))
    return out


def create_range(obj: Object) -> Causes:
    """A ServiceCIDR: one network, or one of each family."""
    out: Causes = []
    networks = (obj.get("spec") or {}).get("cidrs") or []
    if not networks:
        out.append(causes.required("spec.cidrs", "at least one CIDR required"))
    if len(networks) > 2:
        out.append(causes.invalid("spec.cidrs", networks, "may only hold up to 2 values"))
    for index, network in enumerate(networks):
        if names.cidr(network):
            out.append(causes.invalid(f"spec.cidrs[{index}]", network, names.cidr(network)))
    if len(networks) == 2 and not out and (":" in networks[0]) == (":" in networks[1]):
        out.append(
            causes.invalid(
                "spec.cidrs",
                networks,
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
            )
        )
    return out


def update_range(new: Object, old: Object) -> Causes:
    """A change of a ServiceCIDR: it may gain a family, nothing else."""
    out = create_range(new)
    networks, before = (new.get("spec") or {}).get("cidrs") or [], (old.get("spec") or {}).get("cidrs") or []
    if networks[: len(before)] != before:
        out.append(causes.immutable("spec.cidrs", networks))
    return out


def update_class(new: Object, old: Object) -> Causes:
    """A change of an IngressClass: its controller is for life."""
    controller, before = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
    return [] if same(controller, before) else [causes.immutable("spec.controller", controller)]


_V1 = "networking.k8s.io/v1"
CREATE = {
    (_V1, "Ingress"): create_ingress,
    (_V1, "NetworkPolicy"): create_policy,
    (_V1, "IPAddress"): create_address,
    (_V1, "ServiceCIDR"): create_range,
}
UPDATE = {(_V1, "ServiceCIDR", ""): update_range, (_V1, "IngressClass", ""): update_class}

"""The rules for what a cluster consists of: nodes, leases, events, classes, certificates (several groups)."""

from __future__ import annotations

import base64
import binascii

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.strategies import same
from keelson.api.validation import causes, names, object_metadata
from keelson.api.validation.causes import Causes

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PREEMPTIONS = ("Never", "PreemptLowerPriority")
_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_USAGES = frozenset(
    {
        "signing",
        "digital signature",
        "content commitment",
        "key encipherment",
        "key agreement",
        "data encipherment",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
        "any",
        "server auth",
        "client auth",
        "code signing",
        "email protection",
        "s/mime",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "timestamping",
        "ocsp signing",
        "microsoft sgc",
        "netscape sgc",
    }
)


def finalize_namespace(new: Object, old: Object) -> Causes:
    """The finalizers of a Namespace's spec."""
    del old  # Finalizers may come and go by this road.
    out: Causes = []
    for index, finalizer in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        complaint = names.qualified_name(finalizer)
        if complaint:
            out.append(causes.invalid(f"spec.finalizers[{index}]", finalizer, complaint))
    return out


def create_node(obj: Object) -> Causes:
    """A Node: taints that can be told apart, pod networks that are networks."""
    out: Causes = []
    spec = obj.get("spec") or {}
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        path = f"spec.taints[{index}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        complaint = names.qualified_name(key)
        if complaint:
            out.append(causes.invalid(f"{path}.key", key, complaint))
        complaint = names.label_value(taint.get("value") or "")
        if complaint:
            out.append(causes.invalid(f"{path}.value", taint.get("value"), complaint))
        causes.one_of(out, f"{path}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            out.append(causes.duplicate(path, taint))
        seen.add((key, effect))
    networks = spec.get("podCIDRs") or []
    for index, network in enumerate(networks):
        complaint = names.cidr(network)
        if complaint:
            out.append(causes.invalid(f"spec.podCIDRs[{index}]", network, complaint))
    if spec.get("podCIDR") and networks and networks[0] != spec["podCIDR"]:
        out.append(causes.invalid("spec.podCIDRs", networks, "first value must match `podCIDR`"))
    return out


_NODE_ONCE = ("providerID", "podCIDR", "podCIDRs")


def update_node(new: Object, old: Object) -> Causes:
    """A change of a Node: what was assigned to it once stays."""
    out = create_node(new)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for field in _NODE_ONCE:
        if before.get(field) and not same(spec.get(field), before[field]):
            detail = "node updates may not change " + field + ' except from "" to valid'
            out.append(causes.forbidden(f"spec.{field}", detail))
    return out


def create_lease(obj: Object) -> Causes:
    """A Lease."""
    out: Causes = []
    spec = obj.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        out.append(causes.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    causes.non_negative(out, "spec.leaseTransitions", spec.get("leaseTransitions"))
    return out


def create_event(obj: Object) -> Causes:
    """A core/v1 Event: it lies in the namespace of what it is about."""
    out: Causes = []
    namespace = (obj.get("involvedObject") or {}).get("namespace") or ""
    if namespace != meta.namespace(obj) and not (not namespace and meta.namespace(obj) in ("default", "")):
        detail = "does not match event.namespace"
        out.append(causes.invalid("involvedObject.namespace", namespace, detail))
    return out


def create_priority_class(obj: Object) -> Causes:
    """A PriorityClass: the highest values and the prefix "system-" are the system's own."""
    out: Causes = []
    name, value = meta.name(obj), obj.get("value") or 0
    if name.startswith("system-"):
        if _SYSTEM_PRIORITIES.get(name) != value:
            detail = "priority class names with 'system-' prefix are reserved for system use only"
            out.append(causes.forbidden("metadata.name", detail))
    elif value > _HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
        out.append(causes.forbidden("value", detail))
    causes.one_of(out, "preemptionPolicy", obj.get("preemptionPolicy"), _PREEMPTIONS)
    return out


def update_priority_class(new: Object, old: Object) -> Causes:
    """A change of a PriorityClass: its value is for life, since pods copied it."""
    out: Causes = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        out.append(causes.forbidden("value", "may not be changed in an update."))
    causes.unchanged(out, "preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))
    return out


def create_runtime_class(obj: Object) -> Causes:
    """A RuntimeClass."""
    out: Causes = []
    handler = obj.get("handler") or ""
    complaint = names.dns_label(handler)
    if complaint:
        out.append(causes.invalid("handler", handler, complaint))
    scheduling = obj.get("scheduling") or {}
    if scheduling.get("nodeSelector"):
        object_metadata.label_map(out, "scheduling.nodeSelector", scheduling["nodeSelector"])
    return out


def update_runtime_class(new: Object, old: Object) -> Causes:
    """A change of a RuntimeClass: its handler is for life."""
    out = create_runtime_class(new)
    causes.unchanged(out, "handler", new.get("handler"), old.get("handler"))
    return out


def create_signing_request(obj: Object) -> Causes:
    """A CertificateSigningRequest: a PEM request, usages that exist, a signer's name with a domain."""
    out: Causes = []
    spec = obj.get("spec") or {}
    try:
        pem = base64.b64decode(spec.get("request") or "")
    except binascii.Error:
        pem = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem or b"-----END CERTIFICATE REQUEST-----" not in pem:
        detail = "PEM block type must be CERTIFICATE REQUEST"
        out.append(causes.invalid("spec.request", spec.get("request"), detail))
    usages = spec.get("usages") or []
    if not usages:
        out.append(causes.required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            out.append(causes.unsupported(f"spec.usages[{index}]", usage, _USAGES))
        elif usage in usages[:index]:
            out.append(causes.duplicate(f"spec.usages[{index}]", usage))
    signer = spec.get("signerName") or ""
    domain, _, path = signer.partition("/")
    if not signer:
        out.append(causes.required("spec.signerName"))
    elif not path or names.dns_subdomain(domain) or "." not in domain:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        out.append(causes.invalid("spec.signerName", signer, detail))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        out.append(
            causes.invalid(
                "spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"
            )
        )
    return out


def update_signing_request(new: Object, old: Object) -> Causes:
    """A change of a request's metadata; the request itself never changes."""
    del new, old
    return []


def update_signing_conditions(new: Object, old: Object) -> Causes:
    """Approval and denial exclude each other and are never taken back."""
    out: Causes = []
    kinds = [condition.get("type") for condition in meta.conditions(new)]
    if "Approved" in kinds and "Denied" in kinds:
        detail = "Approved and Denied conditions are mutually exclusive"
        out.append(causes.invalid("status.conditions", kinds, detail))
    for index, condition in enumerate(meta.conditions(new)):
        path = f"status.conditions[{index}]"
        kind = condition.get("type")
        if not kind:
            out.append(causes.required(f"{path}.type"))
        elif kind in kinds[:index]:
            out.append(causes.duplicate(f"{path}.type", kind))
        if kind in ("Approved", "Denied", "Failed"):
            causes.one_of(out, f"{path}.status", condition.get("status"), ("True",))
        else:
            causes.one_of(out, f"{path}.status", condition.get("status"), ("True", "False", "Unknown"))
    for condition in meta.conditions(old):
        kind = condition.get("type")
        if kind in ("Approved", "Denied", "Failed") and kind not in kinds:
            detail = f'updates may not remove a condition of type "{kind}"'
            out.append(causes.forbidden("status.conditions", detail))
    certificate, before = (new.get("status") or {}).get("certificate"), (old.get("status") or {}).get("certificate")
    if before and certificate != before:
        detail = "updates may not set or modify existing certificate content"
        out.append(causes.forbidden("status.certificate", detail))
    return out


_CSR = ("certificates.k8s.io/v1", "CertificateSigningRequest")
CREATE = {
    ("v1", "Node"): create_node,
    ("v1", "Event"): create_event,
    ("coordination.k8s.io/v1", "Lease"): create_lease,
    ("scheduling.k8s.io/v1", "PriorityClass"): create_priority_class,
    ("node.k8s.io/v1", "RuntimeClass"): create_runtime_class,
    _CSR: create_signing_request,
}
UPDATE = {
    ("v1", "Namespace", "finalize"): finalize_namespace,
    ("v1", "Node", ""): update_node,
    ("scheduling.k8s.io/v1", "PriorityClass", ""): update_priority_class,
    ("node.k8s.io/v1", "RuntimeClass", ""): update_runtime_class,
    (*_CSR, ""): update_signing_request,
    (*_CSR, "status"): update_signing_conditions,
    (*_CSR, "approval"): update_signing_conditions,
}

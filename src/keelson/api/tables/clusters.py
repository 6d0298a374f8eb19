"""How a cluster's own parts are printed: nodes, namespaces, events, leases, configuration, storage, classes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.tables.cells import NONE, UNKNOWN, UNSET, Printer, age, columns, human_duration, joined, or_none, since

_ROLE_PREFIX = "node-role.kubernetes.io/"
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _address(status: Object, kind: str) -> str:
    found = (a.get("address") for a in status.get("addresses") or () if a.get("type") == kind)
    return next((address for address in found if address), NONE)


def _node(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = meta.condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec.get("unschedulable"):
        words.append("SchedulingDisabled")
    roles = [key.removeprefix(_ROLE_PREFIX) for key in meta.labels(obj) if key.startswith(_ROLE_PREFIX)]
    roles += [value for key, value in meta.labels(obj).items() if key == "kubernetes.io/role" and value]
    info = status.get("nodeInfo") or {}
    return [
        meta.name(obj),
        ",".join(words),
        joined(sorted(filter(None, roles))),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _namespace(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), (obj.get("status") or {}).get("phase", ""), age(obj, now)]


def _event(obj: Object, now: datetime) -> list[Any]:
    core = "involvedObject" in obj or obj.get("apiVersion") == "v1"
    about = (obj.get("involvedObject") if core else obj.get("regarding")) or {}
    source = (obj.get("source") if core else obj.get("deprecatedSource")) or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    series = obj.get("series") or {}
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    message = obj.get("message") if core else obj.get("note")
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (message or "").strip(),
        since(first, now),
        count,
        meta.name(obj),
    ]


def _secret(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def _config_map(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def _service_account(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), age(obj, now)]


def _quota(obj: Object, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    limits = [f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(hard) if name.startswith("limits")]
    others = [f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(hard) if not name.startswith("limits")]
    return [meta.name(obj), ", ".join(others), ", ".join(limits), age(obj, now)]


def _component(obj: Object, now: datetime) -> list[Any]:
    del now
    state: Object = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})
    word = {"True": "Healthy", "False": "Unhealthy"}.get(state.get("status", ""), "Unknown")
    return [meta.name(obj), word, state.get("message", ""), state.get("error", "")]


def _lease(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", age(obj, now)]


def _access_modes(modes: list[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in dict.fromkeys(modes or ()))


def _volume(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef") or {}
    return [
        meta.name(obj),
        (spec.get("capacity") or {}).get("storage", ""),
        _access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if meta.is_deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode", UNSET),
    ]


def _claim(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        meta.name(obj),
        "Terminating" if meta.is_deleting(obj) else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _access_modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        spec.get("volumeMode", UNSET),
    ]


def _storage_class(obj: Object, now: datetime) -> list[Any]:
    default = meta.annotations(obj).get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        f"{meta.name(obj)} (default)" if default else meta.name(obj),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _attachment(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    volume = (spec.get("source") or {}).get("persistentVolumeName", "")
    attached = bool(status.get("attached"))
    return [meta.name(obj), spec.get("attacher", ""), volume, spec.get("nodeName", ""), attached, age(obj, now)]


def _csi_node(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), len((obj.get("spec") or {}).get("drivers") or ()), age(obj, now)]


def _csi_driver(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    tokens = ",".join(token.get("audience", "") for token in spec.get("tokenRequests") or ())
    return [
        meta.name(obj),
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        tokens or UNSET,
        spec.get("requiresRepublish", False),
        joined(spec.get("volumeLifecycleModes") or ()),
        age(obj, now),
    ]


def _priority_class(obj: Object, now: datetime) -> list[Any]:
    shared = bool(obj.get("globalDefault"))
    return [meta.name(obj), obj.get("value", 0), shared, age(obj, now), obj.get("preemptionPolicy", "")]


def _runtime_class(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), obj.get("handler", ""), age(obj, now)]


def _signing_request(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    seconds = spec.get("expirationSeconds")
    kinds = {condition.get("type") for condition in meta.conditions(obj)}
    words = ["Approved"] if "Approved" in kinds else ["Denied"] if "Denied" in kinds else ["Pending"]
    if "Failed" in kinds:
        words.append("Failed")
    if status.get("certificate"):
        words.append("Issued")
    return [
        meta.name(obj),
        age(obj, now),
        spec.get("signerName", ""),
        spec.get("username", ""),
        human_duration(seconds) if seconds is not None else NONE,
        ",".join(words),
    ]


def _attributes_class(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), obj.get("driverName", ""), age(obj, now)]


def _claimed(obj: Object, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    words = []
    if meta.is_deleting(obj):
        words.append("deleted")
    if not status.get("allocation"):
        words.append("pending")
    else:
        words.append("allocated")
        if status.get("reservedFor"):
            words.append("reserved")
    return [meta.name(obj), ",".join(words), age(obj, now)]


def _named(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), age(obj, now)]


def _device_slice(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name", "")
    return [meta.name(obj), or_none(spec.get("nodeName")), spec.get("driver", ""), pool, age(obj, now)]


_EVENT = Printer(
    columns(
        "Last Seen",
        "Type",
        "Reason",
        "Object",
        "Subobject*",
        "Source*",
        "Message",
        "First Seen*",
        "Count*",
        "Name*",
    ),
    _event,
)
_STORAGE = "storage.k8s.io/v1"
_DEVICES = "resource.k8s.io/v1"
PRINTERS = {
    ("v1", "Node"): Printer(
        columns(
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "Internal-IP*",
            "External-IP*",
            "OS-Image*",
            "Kernel-Version*",
            "Container-Runtime*",
        ),
        _node,
    ),
    ("v1", "Namespace"): Printer(columns("Name", "Status", "Age"), _namespace),
    ("v1", "Event"): _EVENT,
    ("events.k8s.io/v1", "Event"): _EVENT,
    ("v1", "Secret"): Printer(columns("Name", "Type", "Data", "Age"), _secret),
    ("v1", "ConfigMap"): Printer(columns("Name", "Data", "Age"), _config_map),
    ("v1", "ServiceAccount"): Printer(columns("Name", "Age"), _service_account),
    ("v1", "ResourceQuota"): Printer(columns("Name", "Request", "Limit", "Age"), _quota),
    ("v1", "ComponentStatus"): Printer(columns("Name", "Status", "Message", "Error"), _component),
    ("coordination.k8s.io/v1", "Lease"): Printer(columns("Name", "Holder", "Age"), _lease),
    ("v1", "PersistentVolume"): Printer(
        columns(
            "Name",
            "Capacity",
            "Access Modes",
            "Reclaim Policy",
            "Status",
            "Claim",
            "StorageClass",
            "VolumeAttributesClass",
            "Reason",
            "Age",
            "VolumeMode*",
        ),
        _volume,
    ),
    ("v1", "PersistentVolumeClaim"): Printer(
        columns(
            "Name",
            "Status",
            "Volume",
            "Capacity",
            "Access Modes",
            "StorageClass",
            "VolumeAttributesClass",
            "Age",
            "VolumeMode*",
        ),
        _claim,
    ),
    (_STORAGE, "StorageClass"): Printer(
        columns("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"),
        _storage_class,
    ),
    (_STORAGE, "VolumeAttachment"): Printer(
        columns("Name", "Attacher::name", "PV", "Node", "Attached:boolean", "Age"), _attachment
    ),
    (_STORAGE, "CSINode"): Printer(columns("Name", "Drivers:integer", "Age"), _csi_node),
    (_STORAGE, "CSIDriver"): Printer(
        columns(
            "Name",
            "AttachRequired:boolean",
            "PodInfoOnMount:boolean",
            "StorageCapacity:boolean",
            "TokenRequests",
            "RequiresRepublish:boolean",
            "Modes",
            "Age",
        ),
        _csi_driver,
    ),
    (_STORAGE, "VolumeAttributesClass"): Printer(columns("Name", "DriverName", "Age"), _attributes_class),
    ("scheduling.k8s.io/v1", "PriorityClass"): Printer(
        columns("Name", "Value:integer", "Global-Default:boolean", "Age", "PreemptionPolicy"), _priority_class
    ),
    ("node.k8s.io/v1", "RuntimeClass"): Printer(columns("Name", "Handler", "Age"), _runtime_class),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"): Printer(
        columns("Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"), _signing_request
    ),
    (_DEVICES, "ResourceClaim"): Printer(columns("Name", "State", "Age"), _claimed),
    (_DEVICES, "ResourceClaimTemplate"): Printer(columns("Name", "Age"), _named),
    (_DEVICES, "DeviceClass"): Printer(columns("Name", "Age"), _named),
    (_DEVICES, "ResourceSlice"): Printer(columns("Name", "Node", "Driver", "Pool", "Age"), _device_slice),
}

"""The rules for storage that outlives pods (core/v1 PersistentVolume, PersistentVolumeClaim; storage.k8s.io/v1)."""

from __future__ import annotations

from keelson.api.meta import Object
from keelson.api.strategies import same
from keelson.api.validation import affinities, causes, names, resources, selectors
from keelson.api.validation.causes import Causes

_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_RECLAIM_POLICIES = ("Recycle", "Delete", "Retain")
_VOLUME_MODES = ("Block", "Filesystem")
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
_NO_SOURCE = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)


def _access_modes(out: Causes, path: str, modes: list[str]) -> None:
    if not modes:
        out.append(causes.required(path, "at least 1 access mode is required"))
    for mode in modes:
        if mode not in _ACCESS_MODES:
            out.append(causes.unsupported(path, mode, _ACCESS_MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        out.append(causes.forbidden(path, "may not use ReadWriteOncePod with other access modes"))


def create_volume(obj: Object) -> Causes:
    """A PersistentVolume."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _access_modes(out, "spec.accessModes", spec.get("accessModes") or [])
    capacity = spec.get("capacity") or {}
    if not capacity:
        out.append(causes.required("spec.capacity"))
    elif set(capacity) != {"storage"}:
        out.append(causes.unsupported("spec.capacity", sorted(capacity), ("storage",)))
    elif resources.amount(capacity["storage"]) <= 0:
        out.append(causes.invalid("spec.capacity[storage]", capacity["storage"], "must be greater than zero"))
    causes.one_of(
        out, "spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), _RECLAIM_POLICIES
    )
    causes.one_of(out, "spec.volumeMode", spec.get("volumeMode"), _VOLUME_MODES)
    sources = [key for key in spec if key not in _NO_SOURCE]
    if not sources:
        out.append(causes.required("spec", "must specify a volume type"))
    for extra in sources[1:]:
        out.append(causes.forbidden(f"spec.{extra}", "may not specify more than 1 volume type"))
    node = (spec.get("nodeAffinity") or {}).get("required")
    if node is not None:
        affinities.node_selector(out, "spec.nodeAffinity.required", node)
    elif "local" in spec:
        out.append(causes.required("spec.nodeAffinity", "Local volume requires node affinity"))
    return out


def update_volume(new: Object, old: Object) -> Causes:
    """A change of a PersistentVolume: what it is made of is for life."""
    out = create_volume(new)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    source, was = ({k: v for k, v in found.items() if k not in _NO_SOURCE} for found in (spec, before))
    if not same(source, was):
        out.append(
            causes.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
        )
    causes.unchanged(out, "spec.volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") and not same(spec.get("nodeAffinity"), before["nodeAffinity"]):
        out.append(causes.immutable("spec.nodeAffinity", spec.get("nodeAffinity")))
    return out


def claim_spec(out: Causes, path: str, spec: Object) -> None:
    """A PersistentVolumeClaimSpec. Appends to `out`."""
    _access_modes(out, f"{path}.accessModes", spec.get("accessModes") or [])
    selectors.label_selector(out, f"{path}.selector", spec.get("selector"))
    wanted = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in wanted:
        out.append(causes.required(f"{path}.resources[storage]"))
    elif resources.amount(wanted["storage"]) <= 0:
        out.append(causes.invalid(f"{path}.resources[storage]", wanted["storage"], "must be greater than zero"))
    if spec.get("storageClassName"):
        complaint = names.dns_subdomain(spec["storageClassName"])
        if complaint:
            out.append(causes.invalid(f"{path}.storageClassName", spec["storageClassName"], complaint))
    causes.one_of(out, f"{path}.volumeMode", spec.get("volumeMode"), _VOLUME_MODES)


def create_claim(obj: Object) -> Causes:
    """A PersistentVolumeClaim."""
    out: Causes = []
    claim_spec(out, "spec", obj.get("spec") or {})
    return out


def update_claim(new: Object, old: Object) -> Causes:
    """A change of a PersistentVolumeClaim: bound, it may only grow."""
    out = create_claim(new)
    spec, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    had = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    if not before.get("volumeName"):
        # A binder fills the volume's name in, and late binding may default the class.
        spec.pop("volumeName", None)
    if before.get("storageClassName") is None:
        spec.pop("storageClassName", None)
    spec.pop("volumeAttributesClassName", None)
    before.pop("volumeAttributesClassName", None)
    grown = wanted is not None and had is not None and resources.amount(wanted) > resources.amount(had)
    if grown or wanted == had:
        spec["resources"] = before.get("resources")
    elif wanted is not None and had is not None and (old.get("status") or {}).get("phase") == "Bound":
        out.append(causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
        spec["resources"] = before.get("resources")
    if not same(spec, before):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName "
            "for bound claims\n"
        )
        out.append(causes.forbidden("spec", detail))
    return out


def create_class(obj: Object) -> Causes:
    """A StorageClass."""
    out: Causes = []
    provisioner = obj.get("provisioner")
    if not provisioner:
        out.append(causes.required("provisioner"))
    else:
        complaint = names.qualified_name(provisioner.lower())
        if complaint:
            out.append(causes.invalid("provisioner", provisioner, complaint))
    causes.one_of(out, "reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    causes.one_of(out, "volumeBindingMode", obj.get("volumeBindingMode"), _BINDING_MODES)
    return out


def update_class(new: Object, old: Object) -> Causes:
    """A change of a StorageClass: how it makes volumes is for life."""
    out = create_class(new)
    if not same(new.get("parameters") or {}, old.get("parameters") or {}):
        out.append(causes.forbidden("parameters", "updates to parameters are forbidden."))
    if new.get("provisioner") != old.get("provisioner"):
        out.append(causes.forbidden("provisioner", "updates to provisioner are forbidden."))
    if new.get("reclaimPolicy") != old.get("reclaimPolicy"):
        out.append(causes.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    causes.unchanged(out, "volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))
    return out


def create_attachment(obj: Object) -> Causes:
    """A VolumeAttachment."""
    out: Causes = []
    spec = obj.get("spec") or {}
    for field in ("attacher", "nodeName"):
        if not spec.get(field):
            out.append(causes.required(f"spec.{field}"))
    source = spec.get("source") or {}
    if not source.get("persistentVolumeName") and source.get("inlineVolumeSpec") is None:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        out.append(causes.required("spec.source", detail))
    return out


def update_attachment(new: Object, old: Object) -> Causes:
    """A VolumeAttachment's spec is for life."""
    out: Causes = []
    if not same(new.get("spec"), old.get("spec")):
        out.append(causes.immutable("spec", new.get("spec")))
    return out


def create_csi_node(obj: Object) -> Causes:
    """A CSINode: each driver once."""
    out: Causes = []
    seen: set[str] = set()
    for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        for field in ("name", "nodeID"):
            if not driver.get(field):
                out.append(causes.required(f"spec.drivers[{index}].{field}"))
        if driver.get("name") in seen:
            out.append(causes.duplicate(f"spec.drivers[{index}].name", driver["name"]))
        seen.add(driver.get("name") or "")
    return out


_STORAGE = "storage.k8s.io/v1"
CREATE = {
    ("v1", "PersistentVolume"): create_volume,
    ("v1", "PersistentVolumeClaim"): create_claim,
    (_STORAGE, "StorageClass"): create_class,
    (_STORAGE, "VolumeAttachment"): create_attachment,
    (_STORAGE, "CSINode"): create_csi_node,
}
UPDATE = {
    ("v1", "PersistentVolume", ""): update_volume,
    ("v1", "PersistentVolumeClaim", ""): update_claim,
    (_STORAGE, "StorageClass", ""): update_class,
    (_STORAGE, "VolumeAttachment", ""): update_attachment,
}

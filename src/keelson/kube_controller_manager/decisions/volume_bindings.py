"""Which volume a claim is bound to, and what becomes of a volume whose claim is gone.

A volume and a claim point at each other: the volume first, by claimRef, then the claim, by volumeName. Either may have
been written by a person, by us (`bound-by-controller`) or by a provisioner, and any of the four writes may have been
the last before a crash, so every look begins from what both say. Rules: Kubernetes documentation, "Persistent Volumes"
(binding, reclaiming, late binding by StorageClass).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from keelson.api import meta, selectors, volume_claims
from keelson.api.meta import Object

COMPLETED = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONERS = ("volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner")
NO_PROVISIONER = "kubernetes.io/no-provisioner"

Event = tuple[Literal["Normal", "Warning"], str, str]


@dataclass(slots=True)
class ClaimStep:
    """What to do for a claim: bind it to `volume`, or give it `phase` and `annotations`, or the class `assign`."""

    volume: Object | None = None
    phase: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    assign: str = ""
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class VolumeStep:
    """What to do for a volume: its `phase` and `message`, whether to `unbind` it, which `claim` (a key) to look at."""

    phase: str = ""
    message: str = ""
    unbind: bool = False
    claim: str = ""
    events: list[Event] = field(default_factory=list)


def is_bound_to(volume: Object, claim: Object) -> bool:
    """Whether the volume is the claim's, or kept for a claim of this name."""
    reference = (volume.get("spec") or {}).get("claimRef")
    if not reference or (reference.get("namespace"), reference.get("name")) != (
        meta.namespace(claim),
        meta.name(claim),
    ):
        return False
    return not reference.get("uid") or reference["uid"] == meta.uid(claim)


def _mode(obj: Object) -> str:
    return str((obj.get("spec") or {}).get("volumeMode") or "Filesystem")


def _attributes_class(obj: Object) -> str:
    return str((obj.get("spec") or {}).get("volumeAttributesClassName") or "")


def _modes(obj: Object) -> set[str]:
    return set((obj.get("spec") or {}).get("accessModes") or ())


def mismatch(volume: Object, claim: Object) -> str:
    """Why the volume can't serve the claim that names it, "" where it can."""
    if meta.is_deleting(volume):
        return f'the volume is marked for deletion "{meta.name(volume)}"'
    if volume_claims.capacity(volume) < volume_claims.requested(claim):
        return "requested PV is too small"
    if volume_claims.class_of(volume) != volume_claims.class_of(claim):
        return "storageClassName does not match"
    if _attributes_class(volume) != _attributes_class(claim):
        return "volumeAttributesClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    return "" if _modes(claim) <= _modes(volume) else "incompatible accessMode"


def best_match(claim: Object, volumes: Iterable[Object], *, late: bool) -> Object | None:
    """The volume kept for the claim, else the smallest free one that serves it (never the latter if `late`)."""
    stated = (claim.get("spec") or {}).get("selector")
    selector = selectors.from_label_selector(stated) if stated is not None else None
    best: Object | None = None
    for volume in sorted(volumes, key=meta.name):
        kept = is_bound_to(volume, claim)
        if (volume.get("spec") or {}).get("claimRef") and not kept:
            continue
        if (
            meta.is_deleting(volume)
            or volume_claims.capacity(volume) < volume_claims.requested(claim)
            or _mode(volume) != _mode(claim)
            or _attributes_class(volume) != _attributes_class(claim)
            or not _modes(claim) <= _modes(volume)
        ):
            continue
        if kept:
            return volume
        if late or (volume.get("status") or {}).get("phase") != "Available":
            continue
        if selector is not None and not selector.matches(meta.labels(volume)):
            continue
        if volume_claims.class_of(volume) != volume_claims.class_of(claim):
            continue
        if best is None or volume_claims.capacity(volume) < volume_claims.capacity(best):
            best = volume
    return best


def claim_step(
    claim: Object,
    volumes: Mapping[str, Object],
    classes: Mapping[str, Object],
    waiting_pods: Sequence[str],
) -> ClaimStep:
    """What to do for a claim. `waiting_pods` are the names of unscheduled pods that use it."""
    spec = claim.get("spec") or {}
    named = volumes.get(spec.get("volumeName") or "")
    if COMPLETED in meta.annotations(claim):
        return _bound_claim(claim, named)
    if spec.get("volumeName"):
        return _claim_of_named(claim, named)
    found = classes.get(volume_claims.class_of(claim))
    late = found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"
    volume = best_match(claim, volumes.values(), late=late)
    if volume is not None:
        return ClaimStep(volume=volume)
    if volume_claims.names_no_class(claim):
        default = volume_claims.default_class(list(classes.values()))
        if default is not None:
            # The default came after the claim (KEP-3333).
            return ClaimStep(assign=meta.name(default))
    step = ClaimStep(phase="Pending")
    if late and SELECTED_NODE not in meta.annotations(claim):
        step.events.append(_waiting(waiting_pods))
    elif volume_claims.class_of(claim):
        _provision(claim, found, step)
    else:
        why = "no persistent volumes available for this claim and no storage class is set"
        step.events.append(("Normal", "FailedBinding", why))
    return step


def _waiting(pods: Sequence[str]) -> Event:
    if not pods:
        return "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
    noun = "pod" if len(pods) == 1 else "pods"
    return "Normal", "WaitForPodScheduled", f"waiting for {noun} {','.join(pods)} to be scheduled"


def _provision(claim: Object, found: Object | None, step: ClaimStep) -> None:
    if found is None:
        name = volume_claims.class_of(claim)
        why = f'storageclass.storage.k8s.io "{name}" not found'
        step.events.append(("Warning", "ProvisioningFailed", why))
        return
    provisioner = str(found.get("provisioner") or "")
    if provisioner == NO_PROVISIONER:
        why = "no volume plugin matched name: kubernetes.io/no-provisioner"
        step.events.append(("Warning", "ProvisioningFailed", why))
        return
    step.annotations = dict.fromkeys(PROVISIONERS, provisioner)
    why = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    step.events.append(("Normal", "ExternalProvisioning", why))


def _claim_of_named(claim: Object, volume: Object | None) -> ClaimStep:
    if volume is None:
        return ClaimStep(phase="Pending")
    if not (volume.get("spec") or {}).get("claimRef"):
        if why := mismatch(volume, claim):
            told = f'Cannot bind to requested volume "{meta.name(volume)}": {why}'
            return ClaimStep(phase="Pending", events=[("Warning", "VolumeMismatch", told)])
        return ClaimStep(volume=volume)
    if is_bound_to(volume, claim):
        return ClaimStep(volume=volume)
    told = f'volume "{meta.name(volume)}" already bound to a different claim.'
    return ClaimStep(phase="Pending", events=[("Warning", "FailedBinding", told)])


def _bound_claim(claim: Object, volume: Object | None) -> ClaimStep:
    if volume is None:
        lost = (
            "its PersistentVolume" if (claim.get("spec") or {}).get("volumeName") else "reference to PersistentVolume"
        )
        told = f"Bound claim has lost {lost}. Data on the volume is lost!"
        return ClaimStep(phase="Lost", events=[("Warning", "ClaimLost", told)])
    reference = (volume.get("spec") or {}).get("claimRef")
    if not reference or reference.get("uid") == meta.uid(claim):
        return ClaimStep(volume=volume)
    told = "Two claims are bound to the same volume, this one is bound incorrectly"
    return ClaimStep(phase="Lost", events=[("Warning", "ClaimMisbound", told)])


def volume_step(volume: Object, claim: Object | None) -> VolumeStep:
    """What to do for a volume; `claim` is the one of the name and UID that it refers to, None where there is none."""
    spec = volume.get("spec") or {}
    reference = spec.get("claimRef")
    if not reference or not reference.get("uid"):
        # Unused, or kept for a claim that will see to it.
        return VolumeStep(phase="Available")
    if claim is None:
        return _reclaimed(volume)
    taken = (claim.get("spec") or {}).get("volumeName")
    if not taken:
        if _mode(volume) != _mode(claim):
            told = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{meta.name(claim)}" due to '
            return VolumeStep(events=[("Warning", "VolumeMismatch", told + "incompatible volumeMode.")])
        return VolumeStep(claim=meta.key(claim))
    if taken == meta.name(volume):
        return VolumeStep(phase="Bound")
    if PROVISIONED_BY in meta.annotations(volume) and spec.get("persistentVolumeReclaimPolicy") == "Delete":
        return _reclaimed(volume)
    return VolumeStep(unbind=True, phase="Available")


def _reclaimed(volume: Object) -> VolumeStep:
    """What the reclaim policy makes of a volume that its claim left."""
    spec, phase = volume.get("spec") or {}, (volume.get("status") or {}).get("phase")
    external = PROVISIONED_BY in meta.annotations(volume) or spec.get("csi") is not None
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy == "Delete" and not external:
        why = (
            f'error getting deleter volume plugin for volume "{meta.name(volume)}": no deletable volume plugin matched'
        )
        return _failed(phase, "VolumeFailedDelete", why)
    if policy == "Recycle":
        return _failed(phase, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    # Whoever provisioned it sees that it is released, and deletes it.
    return VolumeStep(phase="" if phase == "Failed" else "Released")


def _failed(phase: str | None, reason: str, why: str) -> VolumeStep:
    events: list[Event] = [] if phase == "Failed" else [("Warning", reason, why)]
    return VolumeStep(phase="Failed", message=why, events=events)


def bound_volume(volume: Object, claim: Object) -> Object:
    """The volume as it points at the claim; the same object where it does already."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    annotations = dict(meta.annotations(volume))
    if not is_bound_to(volume, claim):
        annotations[BY_CONTROLLER] = "yes"
    identity = {"namespace": meta.namespace(claim), "name": meta.name(claim), "uid": meta.uid(claim)}
    same = all(reference.get(name) == value for name, value in identity.items())
    if same and annotations == meta.annotations(volume):
        return volume
    if not same:
        version = meta.resource_version(claim)
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **identity, "resourceVersion": version}
    head = {**volume["metadata"], "annotations": annotations}
    if not annotations:
        del head["annotations"]
    return {**volume, "metadata": head, "spec": {**volume["spec"], "claimRef": reference}}


def unbound_volume(volume: Object) -> Object:
    """The volume without its claim; what a person wrote stays, but for the UID."""
    spec, annotations = dict(volume["spec"]), dict(meta.annotations(volume))
    if BY_CONTROLLER in annotations:
        del annotations[BY_CONTROLLER], spec["claimRef"]
    else:
        spec["claimRef"] = {name: value for name, value in spec["claimRef"].items() if name != "uid"}
    head = {**volume["metadata"], "annotations": annotations}
    if not annotations:
        del head["annotations"]
    return {**volume, "metadata": head, "spec": spec}


def bound_claim(claim: Object, volume: Object) -> Object:
    """The claim as it points at the volume; the same object where it does already."""
    annotations = dict(meta.annotations(claim))
    if (claim.get("spec") or {}).get("volumeName") != meta.name(volume):
        annotations[BY_CONTROLLER] = "yes"
    annotations[COMPLETED] = "yes"
    spec = {**claim["spec"], "volumeName": meta.name(volume)}
    if spec == claim["spec"] and annotations == meta.annotations(claim):
        return claim
    return {**claim, "metadata": {**claim["metadata"], "annotations": annotations}, "spec": spec}


def claim_status(claim: Object, phase: str, volume: Object | None) -> Object:
    """The claim's status in a phase; with a volume what that offers, without one nothing."""
    old = claim.get("status") or {}
    status = {**old, "phase": phase}
    if volume is None:
        for name in ("accessModes", "capacity", "currentVolumeAttributesClassName"):
            status.pop(name, None)
        return status
    status["accessModes"] = list(volume["spec"].get("accessModes") or ())
    if old.get("phase") != phase:
        # Later the claim may know better: a file system grows after its volume.
        status["capacity"] = dict(volume["spec"].get("capacity") or {})
        if _attributes_class(volume):
            status["currentVolumeAttributesClassName"] = _attributes_class(volume)
    return status

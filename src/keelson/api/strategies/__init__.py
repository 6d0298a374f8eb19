"""What a write does to an object before it is validated and stored: the rules that differ from kind to kind.

Create fills the system's fields and drops what only the system may say; update keeps the part that this road can't
write (an ordinary update never touches status, a status update never touches spec) and counts generations. Clock,
unique id and random suffix are arguments. Sources: API conventions ("Metadata", "Spec and Status", "Generation"),
the API reference of each kind.
"""

from __future__ import annotations

from datetime import datetime

from keelson.api import errors, meta, schemas
from keelson.api.meta import Object
from keelson.api.resources import BUILT_IN, Resource
from keelson.api.strategies import kinds, pods
from keelson.api.strategies.comparisons import identical, keep, same

__all__ = [
    "SUFFIX_ALPHABET",
    "SUFFIX_LENGTH",
    "allows_create_on_update",
    "allows_unconditional_update",
    "bumps_generation",
    "count_generation",
    "generate_name",
    "graceful_seconds",
    "identical",
    "prepare_create",
    "prepare_update",
    "same",
]

# Characters of generated names: no vowels, so that no words form, and nothing easily misread.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
_MAX_NAME = 63

# Kinds whose metadata.generation counts changes of what the user desires. Custom resources count too.
_COUNTED_KINDS = frozenset(
    [
        "Pod",
        "PodTemplate",
        "ReplicationController",
        "Deployment",
        "ReplicaSet",
        "DaemonSet",
        "StatefulSet",
        "Job",
        "CronJob",
        "PodDisruptionBudget",
        "Ingress",
        "IngressClass",
        "NetworkPolicy",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "FlowSchema",
        "PriorityLevelConfiguration",
        "PriorityClass",
        "EndpointSlice",
        "ResourceSlice",
        "DeviceClass",
    ]
)
# Their create keeps what the client says of status: a kubelet registers its Node with it.
_STATUS_AT_CREATE = frozenset({"Node"})
# Fields that no schema requires and that upstream nevertheless always writes: clients count on them.
_SAID_IN_STATUS = {
    "poddisruptionbudgets.policy": frozenset(
        {"currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"}
    ),
    "statefulsets.apps": frozenset({"availableReplicas"}),
}
_CREATED_ON_UPDATE = frozenset(
    [
        "Endpoints",
        "Event",
        "LimitRange",
        "Lease",
        "Service",
        "IPAddress",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
    ]
)
_CONDITIONAL_UPDATE_ONLY = frozenset(
    [
        "CSINode",
        "CSIDriver",
        "Lease",
        "PodDisruptionBudget",
        "VolumeAttachment",
        "RuntimeClass",
        "FlowSchema",
        "PriorityLevelConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "MutatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicyBinding",
        "CustomResourceDefinition",
        "APIService",
    ]
)
# A CRD may add resources to a group that has built-in ones.
_BUILT_IN = frozenset((resource.group, resource.plural) for resource in BUILT_IN)
_TYPE_META = ("apiVersion", "kind", "metadata")


def generate_name(base: str, suffix: str) -> str:
    """A name from metadata.generateName; the base is cut so that base and suffix fit in 63 characters."""
    return base[: _MAX_NAME - len(suffix)] + suffix


def _is_built_in(resource: Resource) -> bool:
    return (resource.group, resource.plural) in _BUILT_IN


def bumps_generation(resource: Resource) -> bool:
    """Whether the kind's metadata.generation counts changes of its desired state."""
    return not _is_built_in(resource) or resource.kind in _COUNTED_KINDS


def allows_create_on_update(resource: Resource) -> bool:
    """Whether PUT of a name that doesn't exist creates it instead of answering 404."""
    return _is_built_in(resource) and resource.kind in _CREATED_ON_UPDATE


def allows_unconditional_update(resource: Resource) -> bool:
    """Whether PUT may leave out metadata.resourceVersion and so overwrite whatever is stored."""
    return _is_built_in(resource) and resource.kind not in _CONDITIONAL_UPDATE_ONLY


def prepare_create(resource: Resource, obj: Object, *, now: datetime, uid: str, suffix: str = "") -> None:
    """Fills in what the system says of a new object, in place: name, uid, creationTimestamp, generation, status.

    `suffix` completes metadata.generateName where there is no name; try again with another if the name is taken.
    Raises StatusError 400 where the object carries a resourceVersion.
    """
    metadata = obj.setdefault("metadata", {})
    _drop_empty(metadata)
    if metadata.get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName") and suffix:
        metadata["name"] = generate_name(metadata["generateName"], suffix)
    for field in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(field, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = meta.format_time(now)
    if bumps_generation(resource):
        metadata["generation"] = 1
    if "status" in resource.subresources and resource.kind not in _STATUS_AT_CREATE:
        status = _zero_status(resource)
        if status is None:
            obj.pop("status", None)
        else:
            obj["status"] = status
    prepare = kinds.CREATE.get(resource.qualified)
    if prepare is not None:
        prepare(obj, now)


def _drop_empty(metadata: Object) -> None:
    """What upstream's ObjectMeta does not tell from absent is not kept."""
    for field in ("annotations", "labels", "finalizers", "ownerReferences"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def _zero_status(resource: Resource) -> Object | None:
    """The status of an object that nobody has looked at: numbers that are always said are 0; None for custom kinds."""
    if not _is_built_in(resource):
        return None
    schema = schemas.of(resource).properties["status"]
    zeros = {"integer": 0, "boolean": False}
    said = schema.required | _SAID_IN_STATUS.get(resource.qualified, frozenset())
    return {
        field: zeros[node.type] for field, node in schema.properties.items() if field in said and node.type in zeros
    }


def _desired(resource: Resource, obj: Object) -> Object:
    """All that generation counts: everything but type, metadata and a status with a road of its own."""
    skipped = {*_TYPE_META, "status"} if "status" in resource.subresources else set(_TYPE_META)
    return {key: value for key, value in obj.items() if key not in skipped}


def prepare_update(resource: Resource, new: Object, old: Object, *, now: datetime, subresource: str = "") -> None:
    """Makes `new` an update of `old`, in place: system fields kept, the parts of other roads kept.

    `subresource` is "" or the one written: "status", "approval", "finalize", "ephemeralcontainers", "resize".
    `old` is never changed but parts of it may be shared by `new` afterwards.
    """
    metadata, before = new.setdefault("metadata", {}), meta.metadata(old)
    _drop_empty(metadata)
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace"):
        if not metadata.get(field) and field in before:
            metadata[field] = before[field]
    keep(metadata, before, "generation", "selfLink")
    match subresource:
        case "":
            if "status" in resource.subresources:
                keep(new, old, "status")
        case "status":
            keep(new, old, *({*new, *old} - {*_TYPE_META, "status"}))
            if not _is_built_in(resource):
                fields = metadata.get("managedFields")
                new["metadata"] = metadata = {**before}
                keep(metadata, {"managedFields": fields} if fields is not None else {}, "managedFields")
                metadata["resourceVersion"] = before.get("resourceVersion", "")
        case "approval":
            keep(new, old, "spec")
        case "finalize":
            keep(new, old, "status")
        case "ephemeralcontainers" | "resize":
            pods.restrict(new, old, subresource)
    prepare = kinds.UPDATE.get((resource.qualified, subresource))
    if prepare is not None:
        prepare(new, old)
    if resource.kind == "CertificateSigningRequest" and subresource and _is_built_in(resource):
        kinds.time_signing_conditions(new, old, now)
    if resource.qualified == "persistentvolumes" and subresource == "status":
        kinds.time_phase(new, old, now)


def count_generation(resource: Resource, new: Object, old: Object, *, subresource: str = "") -> None:
    """Raises metadata.generation, in place, where the prepared update `new` asks for something else than `old`.

    Once defaults and admission have had their say: an update that leaves out what they add asks for nothing new. To be
    put on a node (the subresource "binding") is no change of what the user desires.
    """
    if subresource in ("status", "binding") or not bumps_generation(resource) or not _has_changed(resource, new, old):
        return
    new["metadata"]["generation"] = int(meta.metadata(old).get("generation") or 0) + 1


def _has_changed(resource: Resource, new: Object, old: Object) -> bool:
    # Of Go's structs nothing tells what is absent from what is empty; of a custom object, everything does.
    alike = same if _is_built_in(resource) else identical
    if not alike(_desired(resource, new), _desired(resource, old)):
        return True
    # A rollback and other requests to the controller travel in a Deployment's annotations.
    if resource.kind == "Deployment" and _is_built_in(resource):
        return meta.annotations(new) != meta.annotations(old)
    return False


def graceful_seconds(resource: Resource, obj: Object, requested: int | None) -> int:
    """How long deletion leaves the object to end by itself, in seconds; 0 removes it at once.

    Only pods take time: those that run on a node. `requested` is DeleteOptions.gracePeriodSeconds.
    """
    if resource.qualified != "pods":
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    period = requested if requested is not None else spec.get("terminationGracePeriodSeconds", 30)
    return 1 if period < 0 else int(period)

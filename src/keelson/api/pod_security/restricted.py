"""The controls of the level "restricted": what a pod must state, beyond what it must not do."""

from __future__ import annotations

from collections.abc import Callable

from keelson.api.meta import Object

from .findings import Finding, containers, context, named, quoted, setters

Control = Callable[[Object, Object], Finding | None]

_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_OTHER_VOLUMES = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
]
_PROFILES = ("RuntimeDefault", "Localhost")


def unless_windows(control: Control) -> Control:
    """The control for all but pods of Windows, on which the field can't be set."""

    def relaxed(metadata: Object, spec: Object) -> Finding | None:
        return None if (spec.get("os") or {}).get("name") == "windows" else control(metadata, spec)

    return relaxed


def unless_user_namespace(control: Control) -> Control:
    """The control for all but pods in a user namespace, whose root is nobody outside of it (KEP-127)."""

    def relaxed(metadata: Object, spec: Object) -> Finding | None:
        return None if spec.get("hostUsers") is False else control(metadata, spec)

    return relaxed


def escalation(_metadata: Object, spec: Object) -> Finding | None:
    """No gaining of privileges by set-user-ID programs and the like."""
    bad = [str(c.get("name")) for c in containers(spec) if context(c).get("allowPrivilegeEscalation") is not False]
    if not bad:
        return None
    detail = f"{named(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail)


def capabilities(_metadata: Object, spec: Object) -> Finding | None:
    """All capabilities are dropped, and none but NET_BIND_SERVICE comes back."""
    keeping: list[str] = []
    adding: list[str] = []
    added: set[str] = set()
    for container in containers(spec):
        stated = context(container).get("capabilities") or {}
        if "ALL" not in (stated.get("drop") or ()):
            keeping.append(str(container.get("name")))
        if extra := [name for name in stated.get("add") or () if name != "NET_BIND_SERVICE"]:
            adding.append(str(container.get("name")))
            added.update(extra)
    parts = []
    if keeping:
        parts.append(f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        parts.append(f"{named(adding)} must not include {quoted(sorted(added))} in securityContext.capabilities.add")
    return Finding("unrestricted capabilities", "; ".join(parts)) if parts else None


def volumes(_metadata: Object, spec: Object) -> Finding | None:
    """Only volumes whose content the cluster provides."""
    bad: list[str] = []
    kinds: set[str] = set()
    for volume in spec.get("volumes") or ():
        if any(volume.get(kind) is not None for kind in _VOLUMES):
            continue
        bad.append(str(volume.get("name")))
        kinds.add(next((kind for kind in _OTHER_VOLUMES if volume.get(kind) is not None), "unknown"))
    if not bad:
        return None
    verb = "uses" if len(bad) == 1 else "use"
    noun = "restricted volume type" if len(kinds) == 1 else "restricted volume types"
    return Finding("restricted volume types", f"{named(bad, 'volume')} {verb} {noun} {quoted(sorted(kinds))}")


def non_root(_metadata: Object, spec: Object) -> Finding | None:
    """Nothing runs as root, by the pod's word or every container's own."""
    reason = "runAsNonRoot != true"
    bad = setters(spec, lambda holder: context(holder).get("runAsNonRoot") is False)
    if bad:
        return Finding(reason, f"{' and '.join(bad)} must not set securityContext.runAsNonRoot=false")
    if context(spec).get("runAsNonRoot"):
        return None
    silent = [str(c.get("name")) for c in containers(spec) if context(c).get("runAsNonRoot") is None]
    if not silent:
        return None
    return Finding(reason, f"pod or {named(silent)} must set securityContext.runAsNonRoot=true")


def user(_metadata: Object, spec: Object) -> Finding | None:
    """Nobody asks for user 0."""
    bad = setters(spec, lambda holder: context(holder).get("runAsUser") == 0)
    return Finding("runAsUser=0", f"{' and '.join(bad)} must not set runAsUser=0") if bad else None


def bad_seccomp(spec: Object) -> Finding | None:
    """A seccomp profile that is neither the runtime's nor the node's, stated by the pod or a container."""
    values: set[str] = set()

    def is_bad(holder: Object) -> bool:
        profile = context(holder).get("seccompProfile")
        if profile is None or profile.get("type") in _PROFILES:
            return False
        values.add(str(profile.get("type") or ""))
        return True

    bad = setters(spec, is_bad)
    if not bad:
        return None
    shown = f"{' and '.join(bad)} must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Finding("seccompProfile", shown)


def seccomp(_metadata: Object, spec: Object) -> Finding | None:
    """Every container has a seccomp profile, its own or the pod's."""
    if (found := bad_seccomp(spec)) is not None:
        return found
    if context(spec).get("seccompProfile") is not None:
        return None
    silent = [str(c.get("name")) for c in containers(spec) if context(c).get("seccompProfile") is None]
    if not silent:
        return None
    choice = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {named(silent)} must set {choice}")

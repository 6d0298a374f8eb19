"""The controls of the Pod Security Standards, each as it was from a version on.

A control looks at a pod's metadata and spec, all containers alike (ephemeral ones too), and says what it forbids:
the reason in a few words, and the detail. Words and order are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from keelson.api.meta import Object

from . import restricted
from .findings import Finding, containers, context, listed, named, quoted, setters
from .policies import PRIVILEGED, RESTRICTED, Mode, minor

Control = Callable[[Object, Object], Finding | None]

_DEFAULT_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    ]
)
_SYSCTLS_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | frozenset(
    [
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ]
)
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
_SELINUX_TYPES_31 = _SELINUX_TYPES | {"container_engine_t"}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


def _app_armor(metadata: Object, spec: Object) -> Finding | None:
    bad: list[str] = []
    values: set[str] = set()

    def is_bad(holder: Object) -> bool:
        profile = context(holder).get("appArmorProfile")
        if profile is None or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        values.add(str(profile.get("type") or ""))
        return True

    bad = setters(spec, is_bad)
    shown = sorted(values)
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    if annotations:
        bad.append("annotation" if len(annotations) == 1 else "annotations")
        shown += annotations
    if not bad:
        return None
    reason = "forbidden AppArmor profile" if len(shown) == 1 else "forbidden AppArmor profiles"
    return Finding(reason, f"{' and '.join(bad)} must not set AppArmor profile type to {quoted(shown)}")


def _capabilities(_metadata: Object, spec: Object) -> Finding | None:
    bad, values = listed(
        spec,
        lambda c: [
            name
            for name in (context(c).get("capabilities") or {}).get("add") or ()
            if name not in _DEFAULT_CAPABILITIES
        ],
    )
    if not bad:
        return None
    detail = f"{named(bad)} must not include {quoted(sorted(values))} in securityContext.capabilities.add"
    return Finding("non-default capabilities", detail)


def _host_namespaces(_metadata: Object, spec: Object) -> Finding | None:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Finding("host namespaces", ", ".join(found)) if found else None


def _host_paths(_metadata: Object, spec: Object) -> Finding | None:
    found = [str(each.get("name")) for each in spec.get("volumes") or () if each.get("hostPath") is not None]
    return Finding("hostPath volumes", named(found, "volume")) if found else None


def _host_ports(_metadata: Object, spec: Object) -> Finding | None:
    bad, values = listed(spec, lambda c: [str(p["hostPort"]) for p in c.get("ports") or () if p.get("hostPort")])
    if not bad:
        return None
    verb, noun = "uses" if len(bad) == 1 else "use", "hostPort" if len(values) == 1 else "hostPorts"
    return Finding("hostPort", f"{named(bad)} {verb} {noun} {', '.join(sorted(values))}")


def _hosts(container: Object) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    probes = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    for handler in (*probes, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(kind) or {}).get("host")
            if host:
                yield host


def _probe_hosts(_metadata: Object, spec: Object) -> Finding | None:
    bad, values = listed(spec, lambda c: list(_hosts(c)))
    if not bad:
        return None
    verb = "uses" if len(bad) == 1 else "use"
    noun = "probe or lifecycle host" if len(values) == 1 else "probe or lifecycle hosts"
    return Finding("probe or lifecycle host", f"{named(sorted(bad))} {verb} {noun} {quoted(sorted(values))}")


def _privileged(_metadata: Object, spec: Object) -> Finding | None:
    bad = [str(c.get("name")) for c in containers(spec) if context(c).get("privileged")]
    return Finding("privileged", f"{named(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mount(_metadata: Object, spec: Object) -> Finding | None:
    bad, values = listed(spec, lambda c: [m for m in [context(c).get("procMount")] if m not in (None, "Default")])
    if not bad:
        return None
    return Finding("procMount", f"{named(bad)} must not set securityContext.procMount to {quoted(sorted(values))}")


def _proc_mount_35(metadata: Object, spec: Object) -> Finding | None:
    # What a pod in a user namespace of its own does to /proc is its own affair (KEP-127).
    return None if spec.get("hostUsers") is False else _proc_mount(metadata, spec)


def _selinux(allowed: frozenset[str]) -> Control:
    def control(_metadata: Object, spec: Object) -> Finding | None:
        types: set[str] = set()
        told: set[str] = set()

        def is_bad(holder: Object) -> bool:
            options = context(holder).get("seLinuxOptions")
            if options is None:
                return False
            kind = options.get("type") or ""
            if kind not in allowed:
                types.add(kind)
            set_here = {field for field in ("user", "role") if options.get(field)}
            told.update(set_here)
            return kind not in allowed or bool(set_here)

        bad = setters(spec, is_bad)
        if not bad:
            return None
        parts = [f"{'type' if len(types) == 1 else 'types'} {quoted(sorted(types))}"] if types else []
        parts += [f"{field} may not be set" for field in ("user", "role") if field in told]
        shown = f"{' and '.join(bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"
        return Finding("seLinuxOptions", shown)

    return control


def _seccomp_annotations(metadata: Object, spec: Object) -> Finding | None:
    annotations = metadata.get("annotations") or {}
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + str(c.get("name")) for c in containers(spec))]
    bad = sorted(
        {
            f'{key}="{annotations[key]}"'
            for key in keys
            if key in annotations
            and annotations[key] not in ("runtime/default", "docker/default")
            and not annotations[key].startswith("localhost/")
        }
    )
    if not bad:
        return None
    return Finding("seccompProfile", f"forbidden {'annotation' if len(bad) == 1 else 'annotations'} {', '.join(bad)}")


def _seccomp(_metadata: Object, spec: Object) -> Finding | None:
    return restricted.bad_seccomp(spec)


def _sysctls(allowed: frozenset[str]) -> Control:
    def control(_metadata: Object, spec: Object) -> Finding | None:
        stated = [str(each.get("name")) for each in context(spec).get("sysctls") or ()]
        bad = [name for name in stated if name not in allowed]
        return Finding("forbidden sysctls", ", ".join(bad)) if bad else None

    return control


def _windows_host_process(_metadata: Object, spec: Object) -> Finding | None:
    bad = setters(spec, lambda holder: bool((context(holder).get("windowsOptions") or {}).get("hostProcess")))
    if not bad:
        return None
    return Finding("hostProcess", f"{' and '.join(bad)} must not set securityContext.windowsOptions.hostProcess=true")


class _Check(NamedTuple):
    """A control by its versions: (from which minor version on, the control), and which baseline ones it replaces."""

    versions: Sequence[tuple[int, Control]]
    overrides: frozenset[str] = frozenset()


_BASELINE = {
    "appArmorProfile": _Check([(0, _app_armor)]),
    "capabilities_baseline": _Check([(0, _capabilities)]),
    "hostNamespaces": _Check([(0, _host_namespaces)]),
    "hostPathVolumes": _Check([(0, _host_paths)]),
    "hostPorts": _Check([(0, _host_ports)]),
    "hostProbesAndHostLifecycle": _Check([(34, _probe_hosts)]),
    "privileged": _Check([(0, _privileged)]),
    "procMount": _Check([(0, _proc_mount), (35, _proc_mount_35)]),
    "seLinuxOptions": _Check([(0, _selinux(_SELINUX_TYPES)), (31, _selinux(_SELINUX_TYPES_31))]),
    "seccompProfile_baseline": _Check([(0, _seccomp_annotations), (19, _seccomp)]),
    "sysctls": _Check(
        [
            (0, _sysctls(_SYSCTLS)),
            (27, _sysctls(_SYSCTLS_27)),
            (29, _sysctls(_SYSCTLS_29)),
            (32, _sysctls(_SYSCTLS_32)),
        ]
    ),
    "windowsHostProcess": _Check([(0, _windows_host_process)]),
}
_RESTRICTED = {
    "allowPrivilegeEscalation": _Check(
        [(8, restricted.escalation), (25, restricted.unless_windows(restricted.escalation))]
    ),
    "capabilities_restricted": _Check(
        [(22, restricted.capabilities), (25, restricted.unless_windows(restricted.capabilities))],
        frozenset(("capabilities_baseline",)),
    ),
    "procMount_restricted": _Check([(35, _proc_mount)], frozenset(("procMount",))),
    "restrictedVolumes": _Check([(0, restricted.volumes)], frozenset(("hostPathVolumes",))),
    "runAsNonRoot": _Check([(0, restricted.non_root), (35, restricted.unless_user_namespace(restricted.non_root))]),
    "runAsUser": _Check([(23, restricted.user), (35, restricted.unless_user_namespace(restricted.user))]),
    "seccompProfile_restricted": _Check(
        [(19, restricted.seccomp), (25, restricted.unless_windows(restricted.seccomp))],
        frozenset(("seccompProfile_baseline",)),
    ),
}
# The newest version that changes anything; later ones are as it is.
_NEWEST = max(version for check in (*_BASELINE.values(), *_RESTRICTED.values()) for version, _ in check.versions)


def _at(check: _Check, version: int) -> Control | None:
    return next((control for since, control in reversed(check.versions) if since <= version), None)


@lru_cache(maxsize=128)
def controls(mode: Mode) -> tuple[Control, ...]:
    """The controls of a level at a version, in the order in which they are told."""
    if mode.level == PRIVILEGED:
        return ()
    stated = minor(mode.version)
    version = _NEWEST if stated is None else min(stated, _NEWEST)
    strict = _RESTRICTED if mode.level == RESTRICTED else {}
    active = {name: control for name, check in strict.items() if (control := _at(check, version)) is not None}
    overridden = {name for found in active for name in strict[found].overrides}
    basic = {
        name: control
        for name, check in _BASELINE.items()
        if name not in overridden and (control := _at(check, version)) is not None
    }
    return (*(basic[name] for name in sorted(basic)), *(active[name] for name in sorted(active)))


def violations(mode: Mode, metadata: Object, spec: Object) -> list[Finding]:
    """What a pod does that the level forbids; `metadata` and `spec` are the pod's or a template's."""
    found = (control(metadata, spec) for control in controls(mode))
    return [finding for finding in found if finding is not None]


def reasons(findings: Iterable[Finding]) -> str:
    """The reasons alone, as warnings on a namespace give them."""
    return ", ".join(finding.reason for finding in findings)


def details(findings: Iterable[Finding]) -> str:
    """Reasons with their details, as a refusal gives them."""
    return ", ".join(f"{found.reason} ({found.detail})" if found.detail else found.reason for found in findings)

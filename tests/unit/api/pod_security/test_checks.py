"""The controls, one thing at a time on a pod that is within "restricted"."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.api.pod_security import checks
from keelson.api.pod_security.policies import BASELINE, RESTRICTED, Mode


def pod(container: Object | None = None, context: Object | None = None, **spec: Any) -> Object:
    good: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    inside = {**good, **(container or {})}
    whole = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **(context or {})}
    return {"containers": [{"name": "c", "securityContext": inside}], "securityContext": whole, **spec}


def told(level: str, spec: Object, version: str = "latest", metadata: Object | None = None) -> str:
    return checks.details(checks.violations(Mode(level, version), metadata or {}, spec))


def test_what_is_restricted_is_within_every_level_and_version() -> None:
    for version in ("latest", "v1.0", "v1.22", "v1.35", "v1.99"):
        for level in ("privileged", BASELINE, RESTRICTED):
            assert told(level, pod(), version) == ""


@pytest.mark.parametrize(
    ("spec", "finding"),
    [
        (pod(hostNetwork=True, hostIPC=True), "host namespaces (hostNetwork=true, hostIPC=true)"),
        (pod({"privileged": True}), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (
            pod({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]}}),
            (
                'non-default capabilities (container "c" must not include "NET_RAW", "SYS_ADMIN" in '
                "securityContext.capabilities.add)"
            ),
        ),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        (
            {"containers": [{"name": "a", "ports": [{"hostPort": 2}]}, {"name": "b", "ports": [{"hostPort": 1}]}]},
            'hostPort (containers "a", "b" use hostPorts 1, 2)',
        ),
        (
            {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]},
            'probe or lifecycle host (container "a" uses probe or lifecycle host "h")',
        ),
        (
            pod({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            pod({"seLinuxOptions": {"type": "x", "user": "u"}}, {"seLinuxOptions": {"role": "r"}}),
            (
                'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "x"; '
                "user may not be set; role may not be set)"
            ),
        ),
        (
            pod(None, {"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (pod(None, {"sysctls": [{"name": "kernel.msgmax"}]}), "forbidden sysctls (kernel.msgmax)"),
        (
            pod({"windowsOptions": {"hostProcess": True}}),
            'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
        (
            pod({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_what_baseline_forbids(spec: Object, finding: str) -> None:
    assert told(BASELINE, spec) == finding


@pytest.mark.parametrize(
    ("spec", "finding"),
    [
        (
            {"containers": [{"name": "c"}]},
            (
                'allowPrivilegeEscalation != false (container "c" must set '
                "securityContext.allowPrivilegeEscalation=false), "
                'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
                'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
                'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
                '"RuntimeDefault" or "Localhost")'
            ),
        ),
        (
            pod({"capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}}),
            'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            pod(volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "nfs": {}}, {"name": "x", "emptyDir": {}}]),
            'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
        ),
        (
            pod({"runAsNonRoot": False}),
            'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
        ),
        (pod(None, {"runAsUser": 0}), "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            pod({"procMount": "Unmasked"}, hostUsers=False),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
    ],
)
def test_what_restricted_asks_for(spec: Object, finding: str) -> None:
    assert told(RESTRICTED, spec) == finding


@pytest.mark.parametrize(
    ("level", "spec", "before", "since"),
    [
        (RESTRICTED, pod({"allowPrivilegeEscalation": None}), "v1.7", "v1.8"),
        (RESTRICTED, pod({"capabilities": {}}), "v1.21", "v1.22"),
        (RESTRICTED, pod(None, {"seccompProfile": None}), "v1.18", "v1.19"),
        (RESTRICTED, pod(None, {"runAsUser": 0}), "v1.22", "v1.23"),
        (BASELINE, {"containers": [{"name": "a", "startupProbe": {"tcpSocket": {"host": "h"}}}]}, "v1.33", "v1.34"),
    ],
)
def test_controls_that_came_later(level: str, spec: Object, before: str, since: str) -> None:
    assert told(level, spec, before) == ""
    assert told(level, spec, since) != ""


@pytest.mark.parametrize(
    ("level", "spec", "before", "since"),
    [
        (BASELINE, pod(None, {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}), "v1.26", "v1.27"),
        (BASELINE, pod(None, {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout"}]}), "v1.28", "v1.29"),
        (BASELINE, pod(None, {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), "v1.31", "v1.32"),
        (BASELINE, pod({"seLinuxOptions": {"type": "container_engine_t"}}), "v1.30", "v1.31"),
        (BASELINE, pod({"procMount": "Unmasked"}, hostUsers=False), "v1.34", "v1.35"),
        (RESTRICTED, pod(None, {"runAsUser": 0, "runAsNonRoot": False}, hostUsers=False), "v1.34", "v1.35"),
        (RESTRICTED, pod({"capabilities": {}}, os={"name": "windows"}), "v1.24", "v1.25"),
    ],
)
def test_controls_that_were_relaxed(level: str, spec: Object, before: str, since: str) -> None:
    assert told(level, spec, before) != ""
    assert told(level, spec, since) == ""


def test_profiles_were_annotations_once() -> None:
    key = "container.seccomp.security.alpha.kubernetes.io/c"
    metadata = {"annotations": {key: "unconfined"}}
    assert told(BASELINE, pod(), "v1.18", metadata) == f'seccompProfile (forbidden annotation {key}="unconfined")'
    assert told(BASELINE, pod(), "v1.19", metadata) == ""
    armor = {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}
    assert "annotation must not set AppArmor profile type" in told(BASELINE, pod(), "latest", armor)


@pytest.mark.parametrize("field", ["initContainers", "ephemeralContainers"])
def test_no_kind_of_container_is_passed_over(field: str) -> None:
    spec = {**pod(), field: [{"name": "other", "securityContext": {"privileged": True}}]}
    assert 'container "other"' in told(BASELINE, spec)

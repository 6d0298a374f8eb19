from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kubelet.decisions.container_statuses import Obstacle
from keelson.kubelet.decisions.observations import RESTART_COUNT, Container, RuntimePod, Sandbox, State, ordered
from keelson.kubelet.decisions.pod_actions import Probed
from keelson.kubelet.decisions.pod_statuses import Circumstances, pod_status, same

_NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(*, init: Any = (), status: Any = None, probe: bool = False, **spec: Any) -> Object:
    container: Object = {"name": "c", "image": "i:1"}
    if probe:
        container["readinessProbe"] = {"exec": {"command": ["true"]}}
    made: Object = {
        "metadata": {"name": "p", "uid": "u", "generation": 3},
        "spec": {"containers": [container], "initContainers": list(init), "restartPolicy": "Always", **spec},
    }
    if status:
        made["status"] = status
    return made


def instance(name: str, state: State, *, code: int = 0, attempt: int = 0) -> Container:
    return Container(
        id=f"{name}-{attempt}",
        sandbox_id="s",
        name=name,
        attempt=attempt,
        state=state,
        created_at=_NOW + timedelta(seconds=attempt),
        started_at=_NOW,
        finished_at=_NOW if state == "exited" else None,
        exit_code=code,
        image="i:1",
        image_id="sha256:1",
        annotations={RESTART_COUNT: str(attempt)},
    )


def seen(*containers: Container, ready: bool = True) -> RuntimePod:
    sandbox = Sandbox(
        id="s", uid="u", name="p", namespace="d", attempt=0, ready=ready, created_at=_NOW, ips=("10.0.0.1", "fd00::1")
    )
    return ordered("u", [sandbox], list(containers))


def status(made: Object, observed: RuntimePod, **around: Any) -> Object:
    return pod_status(made, observed, Circumstances(now=_NOW, host_ips=("192.0.2.1",), **around))


def holds(found: Object, type_: str) -> str:
    condition = meta.condition({"status": found}, type_)
    return f"{condition['status']} {condition.get('reason', '')}".strip() if condition else "absent"


def test_a_running_pod() -> None:
    found = status(pod(), seen(instance("c", "running")))
    assert (found["phase"], found["podIP"], found["observedGeneration"]) == ("Running", "10.0.0.1", 3)
    assert found["podIPs"] == [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    assert [holds(found, c) for c in ("PodScheduled", "Initialized", "ContainersReady", "Ready")] == ["True"] * 4
    entry = found["containerStatuses"][0]
    assert (entry["ready"], entry["started"], entry["containerID"]) == (True, True, "containerd://c-0")


def test_nothing_yet() -> None:
    found = status(pod(), RuntimePod(uid="u"))
    assert found["phase"] == "Pending"
    assert holds(found, "PodReadyToStartContainers") == "False"
    assert holds(found, "Ready") == "False ContainersNotReady"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


@pytest.mark.parametrize(("verdict", "ready"), [("unknown", False), ("failure", False), ("success", True)])
def test_readiness_is_the_probes(verdict: Any, ready: bool) -> None:
    found = status(pod(probe=True), seen(instance("c", "running")), probed={"c-0": Probed(readiness=verdict)})
    assert found["containerStatuses"][0]["ready"] is ready
    assert found["phase"] == "Running"


def test_a_readiness_gate_of_others_is_respected_and_kept() -> None:
    gate: Any = {"readinessGates": [{"conditionType": "example.com/lb"}]}
    found = status(pod(**gate), seen(instance("c", "running")))
    assert holds(found, "Ready") == "False ReadinessGatesNotReady"
    theirs = {"type": "example.com/lb", "status": "True"}
    found = status(pod(status={"conditions": [theirs]}, **gate), seen(instance("c", "running")))
    assert holds(found, "Ready") == "True"
    assert theirs in found["conditions"]


def test_init_containers_hold_the_others_back() -> None:
    init = [{"name": "i", "image": "i:1"}]
    found = status(pod(init=init), seen(instance("i", "running")))
    assert found["phase"] == "Pending"
    assert holds(found, "Initialized") == "False ContainersNotInitialized"
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    found = status(pod(init=init), seen(instance("i", "exited"), instance("c", "running")))
    assert holds(found, "Initialized") == "True"
    assert found["initContainerStatuses"][0]["ready"] is True


def test_a_crash_loop_shows_the_obstacle_and_the_last_end() -> None:
    found = status(
        pod(),
        seen(instance("c", "exited", code=1, attempt=2), instance("c", "exited", code=2, attempt=1)),
        obstacles={"c": Obstacle("CrashLoopBackOff", "back-off 20s")},
        messages={"c-2": "why"},
    )
    entry = found["containerStatuses"][0]
    assert entry["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
    assert (entry["lastState"]["terminated"]["exitCode"], entry["restartCount"]) == (1, 2)
    assert entry["lastState"]["terminated"]["message"] == "why"
    assert found["phase"] == "Running"


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (1, "Failed", "PodFailed")])
def test_an_end_is_one_only_when_all_is_over(code: int, phase: str, reason: str) -> None:
    made = pod(restartPolicy="Never")
    observed = seen(instance("c", "exited", code=code), ready=False)
    assert status(made, observed)["phase"] == "Running"
    found = status(made, observed, over=True)
    assert found["phase"] == phase
    assert holds(found, "Ready") == f"False {reason}"
    # And an end it stays, whatever is asked later.
    again = status({**made, "status": found}, RuntimePod(uid="u"))
    assert again["phase"] == phase
    assert again["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_a_failed_init_container_fails_the_pod() -> None:
    made = pod(init=[{"name": "i", "image": "i:1"}], restartPolicy="Never")
    found = status(made, seen(instance("i", "exited", code=1), ready=False), over=True)
    assert found["phase"] == "Failed"


def test_a_pod_that_was_refused_says_why_and_nothing_of_containers() -> None:
    found = status(pod(), RuntimePod(uid="u"), over=True, failed=True, reason="OutOfcpu", message="too big")
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "OutOfcpu", "too big")
    assert "containerStatuses" not in found
    assert status({**pod(), "status": found}, RuntimePod(uid="u"))["reason"] == "OutOfcpu"


def test_a_container_that_vanished_is_not_forgotten() -> None:
    running = status(pod(), seen(instance("c", "running")))
    found = status({**pod(), "status": running}, RuntimePod(uid="u"), over=True)
    terminated = found["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("ContainerStatusUnknown", 137)


def test_transitions_move_only_with_the_status() -> None:
    first = status(pod(), seen(instance("c", "running")))
    later = Circumstances(now=_NOW + timedelta(hours=1), host_ips=("192.0.2.1",))
    second = pod_status({**pod(), "status": first}, seen(instance("c", "running")), later)
    assert same(first, second)
    third = pod_status({**pod(), "status": second}, RuntimePod(uid="u"), later)
    moved = meta.condition({"status": third}, "Ready")
    assert moved is not None
    assert moved["lastTransitionTime"] == "2026-01-01T13:00:00Z"

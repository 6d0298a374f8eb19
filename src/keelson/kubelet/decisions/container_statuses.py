"""containerStatuses: what one container is, from its newest instances and from what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from .container_configs import is_sidecar
from .observations import Container, RuntimePod
from .pod_actions import Probed


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a container does not run now: a waiting state's reason and message."""

    reason: str
    message: str


_EPOCH = datetime.fromtimestamp(0, UTC)


def container_id(container: Container, runtime: str) -> str:
    """The id as the API writes it: "containerd://…"."""
    return f"{runtime}://{container.id}"


def container_status(
    container: Object,
    observed: RuntimePod,
    *,
    old: Mapping[str, Any] | None,
    obstacle: Obstacle | None,
    probed: Mapping[str, Probed],
    runtime: str,
    waiting_reason: str,
    init: bool,
    over: bool,
    messages: Mapping[str, str],
) -> Object:
    """One entry. `over`: nothing of the pod will run again, so what is not there any more is terminated, not waiting.

    `messages` are termination messages by container id; `waiting_reason` is for a container never tried yet.
    """
    latest, previous = observed.latest(container["name"]), observed.previous(container["name"])
    status: dict[str, Any] = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "lastState": {},
        "state": {"waiting": {"reason": waiting_reason}},
    }
    if latest is None:
        return _of_none(status, container, old, obstacle, over)
    status |= {
        "image": latest.image or container.get("image", ""),
        "imageID": latest.image_id,
        "containerID": container_id(latest, runtime),
        "restartCount": latest.restart_count,
        "state": _state(latest, runtime, messages),
    }
    if previous is not None and previous.state == "exited":
        status["lastState"] = _state(previous, runtime, messages)
    elif old and latest.restart_count and not status["lastState"]:
        # The instance before was removed: what was said of it is kept.
        status["lastState"] = old.get("lastState") or {}
    if latest.user is not None:
        linux: dict[str, Any] = {"uid": latest.user.uid, "gid": latest.user.gid}
        if latest.user.groups:
            linux["supplementalGroups"] = list(latest.user.groups)
        status["user"] = {"linux": linux}
    if obstacle is not None and latest.state != "running" and not over:
        if latest.state == "exited":
            status["lastState"] = status["state"]
        status["state"] = {"waiting": {"reason": obstacle.reason, "message": obstacle.message}}
    if latest.state == "running":
        found = probed.get(latest.id, Probed())
        status["started"] = not container.get("startupProbe") or found.startup == "success"
        status["ready"] = status["started"] and (
            not container.get("readinessProbe") or found.readiness == "success" or (init and not is_sidecar(container))
        )
    if init and not is_sidecar(container):
        status["ready"] = latest.state == "exited" and latest.exit_code == 0
        status["started"] = latest.state == "running"
    return status


def _of_none(
    status: Object, container: Object, old: Mapping[str, Any] | None, obstacle: Obstacle | None, over: bool
) -> Object:
    ended = old and ((old.get("state") or {}).get("terminated") or (old.get("lastState") or {}).get("terminated"))
    if old and ended:
        # Its instances were removed (garbage collection): the API's memory is the only one left.
        return {**status, **{name: old[name] for name in ("restartCount", "image", "imageID") if name in old}} | (
            {"state": {"terminated": ended}, "lastState": {}, **_id(old), "ready": old.get("ready", False)}
            if over or (old.get("state") or {}).get("terminated")
            else {"lastState": {"terminated": ended}}
        )
    if over:
        if old and (old.get("state") or {}).get("running"):
            reason, message, code = (
                "ContainerStatusUnknown",
                "The container could not be located when the pod ended",
                137,
            )
            gone = {"reason": reason, "message": message, "exitCode": code}
            return {**status, **_id(old), "restartCount": old.get("restartCount", 0), "state": {"terminated": gone}}
        return status
    if obstacle is not None:
        status["state"] = {"waiting": {"reason": obstacle.reason, "message": obstacle.message}}
    if old:
        status["restartCount"] = old.get("restartCount", 0)
        status["lastState"] = old.get("lastState") or {}
    return status


def _id(old: Mapping[str, Any]) -> dict[str, Any]:
    return {"containerID": old["containerID"]} if old.get("containerID") else {}


def _state(container: Container, runtime: str, messages: Mapping[str, str]) -> dict[str, Any]:
    if container.state == "running":
        return {"running": {"startedAt": meta.format_time(container.started_at or container.created_at)}}
    if container.state == "created":
        return {"waiting": {"reason": "ContainerCreating"}}
    if container.state == "unknown":
        return {
            "terminated": {
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located",
                "exitCode": 137,
                "containerID": container_id(container, runtime),
            }
        }
    terminated: dict[str, Any] = {
        "exitCode": container.exit_code,
        "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
        "startedAt": meta.format_time(container.started_at or _EPOCH),
        "finishedAt": meta.format_time(container.finished_at or _EPOCH),
        "containerID": container_id(container, runtime),
    }
    if message := messages.get(container.id) or container.message:
        terminated["message"] = message
    return {"terminated": terminated}

"""Replays pod_actions.yaml against the decider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api.meta import Object
from keelson.kubelet.decisions import observations, pod_actions, restarts
from keelson.kubelet.decisions.container_configs import spec_hash
from keelson.kubelet.decisions.observations import Container, RuntimePod, Sandbox, ordered
from keelson.kubelet.decisions.pod_actions import Actions, Probed

_NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SCENARIOS = yaml.safe_load(Path(__file__).with_name("pod_actions.yaml").read_text(encoding="utf-8"))


def _spec(told: dict[str, Any]) -> Object:
    def container(name: str) -> Object:
        made: Object = {"name": name.rstrip("*"), "image": "image"}
        if name.endswith("*"):
            made["restartPolicy"] = "Always"
        if made["name"] in told.get("startup", ()):
            made["startupProbe"] = {"exec": {"command": ["true"]}}
        return made

    return {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {
            "restartPolicy": told.get("restartPolicy", "Always"),
            "initContainers": [container(name) for name in told.get("init", ())],
            "containers": [container(name) for name in told["containers"]],
            "ephemeralContainers": [container(name) for name in told.get("ephemeral", ())],
        },
    }


def _instance(name: str, told: str, changed: bool) -> Container:
    state, *rest = told.split()
    ago = float(rest[1]) if len(rest) > 1 else 1000.0
    image = "another" if changed else "image"
    return Container(
        id=f"id-{name}",
        sandbox_id="sandbox",
        name=name,
        attempt=0,
        state=state,  # type: ignore[arg-type]
        created_at=_NOW - timedelta(hours=1),
        started_at=_NOW - timedelta(hours=1),
        finished_at=_NOW - timedelta(seconds=ago) if state == "exited" else None,
        exit_code=int(rest[0]) if rest else 0,
        annotations={observations.CONTAINER_HASH: spec_hash({"name": name, "image": image})},
    )


def _sandboxes(told: str) -> list[Sandbox]:
    def sandbox(attempt: int, *, ready: bool) -> Sandbox:
        return Sandbox(
            id="sandbox" if attempt == 0 else f"sandbox-{attempt}",
            uid="u",
            name="p",
            namespace="default",
            attempt=attempt,
            ready=ready,
            created_at=_NOW - timedelta(hours=2 - attempt),
            ips=("10.0.0.1",),
        )

    return {"": [], "ready": [sandbox(0, ready=True)], "lost": [sandbox(0, ready=False)]}.get(
        told, [sandbox(0, ready=True), sandbox(1, ready=True)]
    )


def _observed(told: dict[str, str]) -> tuple[RuntimePod, dict[str, Probed]]:
    states = {name: state for name, state in told.items() if name not in {"sandbox", "changed"} and "." not in name}
    probed = {}
    for name, verdict in told.items():
        if "." in name:
            container, _, kind = name.partition(".")
            probed[f"id-{container}"] = Probed(**{kind: verdict})  # type: ignore[arg-type]
    containers = [_instance(name, state, told.get("changed") == name) for name, state in states.items()]
    return ordered("u", _sandboxes(told.get("sandbox", "")), containers), probed


def _text(actions: Actions) -> str:
    parts = ["kill pod"] if actions.kill_pod else []
    parts += [f"kill {kill.instance.name} {kill.reason}" for kill in actions.kill]
    parts += [f"create sandbox {actions.attempt}"] if actions.create_sandbox else []
    parts += [f"start {start.container['name']}" for start in actions.start]
    parts += [f"wait {waiting.container['name']} {waiting.seconds:g}" for waiting in actions.waiting]
    parts += ["finished"] if actions.finished else []
    return "; ".join(parts) or "nothing"


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=[scenario["name"] for scenario in _SCENARIOS])
def test_scenario(scenario: dict[str, Any]) -> None:
    observed, probed = _observed(scenario["seen"])
    # Counted up when the container was started the last time, which is shortly before it ended.
    delays = {
        name: restarts.Delay(seconds=seconds, updated=_NOW - timedelta(seconds=60))
        for name, seconds in scenario.get("delays", {}).items()
    }
    found = pod_actions.pod_actions(_spec(scenario["pod"]), observed, now=_NOW, probed=probed, delays=delays)
    assert _text(found) == scenario["then"]

"""How a pod ends: in which order, and how much time each container has.

Rules: "Pod termination flow" and "Pod termination and sidecar containers" (Kubernetes documentation), KEP-753, KEP-2238
(grace period of a probe).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from .container_configs import is_sidecar
from .observations import GRACE_PERIOD, Container, RuntimePod

# A container is given this much even where its preStop hook used the whole period up.
MINIMUM = 2.0
_DEFAULT = 30.0


def grace_seconds(pod: Object, *, override: float | None = None) -> float:
    """The pod's grace period: an eviction's, else the deletion's, else the spec's."""
    if override is not None:
        return override
    deletion = meta.metadata(pod).get("deletionGracePeriodSeconds")
    if meta.is_deleting(pod) and deletion is not None:
        return float(deletion)
    stated = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return _DEFAULT if stated is None else float(stated)


def container_grace_seconds(pod: Object, container: Mapping[str, Any], reason: str) -> float:
    """The period for one container that is killed while its pod lives on."""
    probe = {"liveness": "livenessProbe", "startup": "startupProbe"}.get(reason, "")
    stated = (container.get(probe) or {}).get("terminationGracePeriodSeconds")
    return grace_seconds(pod) if stated is None else float(stated)


def orphan_grace_seconds(container: Container) -> float:
    """The period for a container whose pod is known from nothing but the runtime."""
    text = container.annotations.get(GRACE_PERIOD, "")
    return float(text) if text.isdecimal() else _DEFAULT


def kill_order(pod: Object, observed: RuntimePod) -> list[list[tuple[Container, Object]]]:
    """Rounds of instances to end, each round at once, the next when it is over: sidecars last, in reverse order.

    An instance whose container the spec does not know (any more) goes in the first round with an empty spec.
    """
    spec = pod.get("spec") or {}
    sidecars = [found["name"] for found in spec.get("initContainers") or [] if is_sidecar(found)]
    known = {
        found["name"]: found
        for section in ("initContainers", "containers", "ephemeralContainers")
        for found in spec.get(section) or []
    }
    running = observed.running
    rounds = [[(found, known.get(found.name, {})) for found in running if found.name not in sidecars]]
    rounds += [[(found, known[name]) for found in running if found.name == name] for name in reversed(sidecars)]
    return [each for each in rounds if each]

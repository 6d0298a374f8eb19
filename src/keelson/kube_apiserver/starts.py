"""The steps of a server's start, which /livez and /readyz tell of by the names of upstream's post-start hooks.

Only hooks that do something here have a name; who waits for one of them, as for the policy, finds it where he looks.
"""

from __future__ import annotations

import time
from functools import partial

from keelson.component_base.health import Checks

INFORMERS = ("start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced")
ADMISSION = ("start-apiserver-admission-initializer",)
AGGREGATION = (
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
)
NAMESPACES = ("start-system-namespaces-controller",)
POLICY = ("rbac/bootstrap-roles",)
PRIORITY_CLASSES = ("scheduling/bootstrap-system-priority-classes",)
FAIRNESS = ("priority-and-fairness-config-consumer", "priority-and-fairness-config-producer")
SERVICES = ("start-kubernetes-service-cidr-controller", "bootstrap-controller")
TRUST = ("start-cluster-authentication-info-controller", "start-legacy-token-tracking-controller")
INSTANCE = (
    "peer-endpoint-reconciler-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
)


def names(*, fairness: bool, policy: bool) -> tuple[str, ...]:
    """All steps of a server with or without priority and fairness, and a policy of RBAC."""
    return (
        *ADMISSION,
        *(FAIRNESS if fairness else ()),
        *INFORMERS,
        *NAMESPACES,
        *INSTANCE,
        *TRUST,
        *SERVICES,
        *(POLICY if policy else ()),
        *PRIORITY_CLASSES,
        *AGGREGATION,
    )


class Steps:
    """The steps of one server. `grace` is how many seconds of a start /livez does not mind."""

    def __init__(self, names: tuple[str, ...], grace: float) -> None:
        self._names = names
        self._waiting = set(names)
        self._ends = time.monotonic() + grace

    def done(self, *names: str) -> None:
        """These are finished."""
        self._waiting.difference_update(names)

    @property
    def complete(self) -> bool:
        """Whether the start is over."""
        return not self._waiting

    def add_to(self, checks: Checks, *, patient: bool) -> None:
        """Add a check a step; a `patient` one fails only after the grace."""
        for name in self._names:
            checks.add(f"poststarthook/{name}", partial(self._wrong, name, patient))

    def _wrong(self, name: str, patient: bool) -> str | None:
        if name not in self._waiting or (patient and time.monotonic() < self._ends):
            return None
        return "not finished"

"""The cluster as the scheduler sees it: nodes in rows of arrays, the pods on them, and answers by label in one mask.

Rows are reused when nodes go. Every array has as many rows as `capacity`; `valid` tells which are in use.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from keelson.api import meta
from keelson.api.meta import Object

from .pods import PodInfo, amount

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]
# A row for each node, a column for each resource.
Amounts = npt.NDArray[np.int64]
_BASE = ("cpu", "memory", "ephemeral-storage", "pods")
# For how many priorities the sums of `lower` are kept.
_THRESHOLDS = 8


class Snapshot:
    """Nodes and pods. Changed between two decisions only."""

    def __init__(self) -> None:
        self.capacity = 64
        self.names: list[str] = [""] * self.capacity
        self.nodes: list[Object] = [{}] * self.capacity
        self.labels: list[Mapping[str, str]] = [{}] * self.capacity
        self.valid: Mask = np.zeros(self.capacity, dtype=np.bool_)
        # Pods by row, keyed by UID. Invariant: a pod is in `pods_on[row]` iff its requests are in `requested[row]`.
        self.pods_on: list[dict[str, PodInfo]] = [{} for _ in range(self.capacity)]
        # Columns are resources, in the order of `resources`.
        self.resources: dict[str, int] = {name: index for index, name in enumerate(_BASE)}
        self.allocatable = np.zeros((self.capacity, len(_BASE)), dtype=np.int64)
        self.requested = np.zeros((self.capacity, len(_BASE)), dtype=np.int64)
        self.scored = np.zeros((self.capacity, len(_BASE)), dtype=np.int64)
        self.namespace_labels: dict[str, Mapping[str, str]] = {}
        # Pods with a required anti-affinity, or any (anti-)affinity at all: few, and looked at for every pod.
        self.with_anti_affinity: dict[str, tuple[PodInfo, int]] = {}
        self.with_affinity: dict[str, tuple[PodInfo, int]] = {}
        self._rows: dict[str, int] = {}
        self._free = list(range(self.capacity - 1, -1, -1))
        # Pods on nodes that are not here (yet), by node and UID.
        self._waiting: dict[str, dict[str, PodInfo]] = {}
        self._pods: dict[str, PodInfo] = {}
        # Pods that wait for a place on the node in their `node`, by UID (status.nominatedNodeName); not counted on it.
        self._nominated: dict[str, PodInfo] = {}
        self._priorities: Counter[int] = Counter()
        # What pods below a priority request on each row; the one used last is the last.
        self._lower: dict[int, Amounts] = {}
        # Masks derived from nodes' labels and taints; emptied when one of those changes.
        self._masks: dict[Any, Mask] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, node: str) -> int | None:
        """The node's row, None where it is not known."""
        return self._rows.get(node)

    def column(self, resource: str) -> int:
        """The resource's column, added where it is new."""
        found = self.resources.get(resource)
        if found is None:
            found = self.resources[resource] = len(self.resources)
            for name in ("allocatable", "requested", "scored"):
                array = getattr(self, name)
                setattr(self, name, np.hstack([array, np.zeros((self.capacity, 1), dtype=np.int64)]))
            for priority, array in self._lower.items():
                self._lower[priority] = np.hstack([array, np.zeros((self.capacity, 1), dtype=np.int64)])
        return found

    def make_columns(self, pod: PodInfo) -> None:
        """Have a column for each resource that a pod requests, so that arrays taken from here on keep their shape."""
        for resource in pod.requests:
            self.column(resource)

    def mask(self, key: Any, test: Callable[[int], bool]) -> Mask:
        """`test(row)` of all valid rows, remembered under `key` until labels, taints or nodes change."""
        found = self._masks.get(key)
        if found is None:
            found = np.zeros(self.capacity, dtype=np.bool_)
            for row in np.flatnonzero(self.valid):
                found[row] = test(int(row))
            if len(self._masks) > 4096:
                self._masks.clear()
            self._masks[key] = found
        return found

    def set_node(self, node: Object) -> bool:
        """Take in a node; True where something that decisions ask changed (a heartbeat alone does not)."""
        name = meta.name(node)
        row = self._rows.get(name)
        fresh = row is None
        if row is None:
            if not self._free:
                self._grow()
            row = self._rows[name] = self._free.pop()
        old = self.nodes[row] if not fresh else {}
        spec, status = node.get("spec") or {}, node.get("status") or {}
        same_place = not fresh and meta.labels(old) == meta.labels(node) and (old.get("spec") or {}) == spec
        same_size = not fresh and (old.get("status") or {}).get("allocatable") == status.get("allocatable")
        same_images = not fresh and (old.get("status") or {}).get("images") == status.get("images")
        self.names[row], self.nodes[row], self.labels[row] = name, node, meta.labels(node)
        self.valid[row] = True
        if not same_size:
            self.allocatable[row] = 0
            for resource, value in (status.get("allocatable") or {}).items():
                # Asked first: a new column replaces the array that it is then written to.
                column = self.column(resource)
                self.allocatable[row, column] = amount(resource, value)
        if not same_place or not same_images:
            self._masks.clear()
        if fresh:
            for pod in self._waiting.pop(name, {}).values():
                self._place(pod, row)
        return not (same_place and same_size)

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods wait for it to come back."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        for pod in list(self.pods_on[row].values()):
            self._displace(pod, row)
            self._waiting.setdefault(name, {})[pod.uid] = pod
        self.valid[row] = False
        self.names[row], self.nodes[row], self.labels[row] = "", {}, {}
        self.allocatable[row] = 0
        self._free.append(row)
        self._masks.clear()

    def add_pod(self, pod: PodInfo) -> None:
        """Count a pod on the node that it names; one of the same UID is replaced."""
        self.remove_pod(pod.uid)
        self._pods[pod.uid] = pod
        row = self._rows.get(pod.node)
        if row is None:
            self._waiting.setdefault(pod.node, {})[pod.uid] = pod
        else:
            self._place(pod, row)

    def remove_pod(self, uid: str) -> None:
        """Stop counting a pod, if it is counted."""
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        row = self._rows.get(pod.node)
        if row is None:
            self._waiting.get(pod.node, {}).pop(uid, None)
        else:
            self._displace(pod, row)

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Let a pod that waits hold its place on a node against pods of no higher priority; "" ends it."""
        if node:
            self.make_columns(pod)
            self._nominated[pod.uid] = dataclasses.replace(pod, node=node)
        else:
            self._nominated.pop(pod.uid, None)

    def forget_nomination(self, uid: str) -> bool:
        """End a pod's nomination; whether there was one."""
        return self._nominated.pop(uid, None) is not None

    def nominated_row(self, uid: str) -> int | None:
        """The row that a pod is nominated for; None without one."""
        found = self._nominated.get(uid)
        return None if found is None else self._rows.get(found.node)

    def nominated_on(self, node: str) -> list[PodInfo]:
        """The pods nominated for a node."""
        return [found for found in self._nominated.values() if found.node == node]

    def rivals(self, pod: PodInfo) -> list[PodInfo]:
        """Other pods, of no lower priority, that are nominated for a node."""
        return [
            found
            for found in self._nominated.values()
            if found.priority >= pod.priority and found.uid != pod.uid and found.uid not in self._pods
        ]

    @contextmanager
    def counting(self, others: Iterable[PodInfo]) -> Iterator[None]:
        """Count these pods, too, on the nodes that they name, until the context ends."""
        for other in others:
            self.add_pod(other)
        try:
            yield
        finally:
            for other in others:
                self.remove_pod(other.uid)

    def lower(self, priority: int) -> Amounts | None:
        """What the pods of lower priority request on each row, `pods` being their number; None if there are none.

        Summed up when first asked for a priority and kept up to date from then on, for the latest few priorities.
        """
        if not any(known < priority for known in self._priorities):
            return None
        found = self._lower.pop(priority, None)
        if found is None:
            found = np.zeros_like(self.requested)
            for row in np.flatnonzero(self.valid):
                total: Counter[str] = Counter()
                for pod in self.pods_on[int(row)].values():
                    if pod.priority < priority:
                        total.update(pod.requests)
                        total["pods"] += 1
                for resource, value in total.items():
                    found[row, self.resources[resource]] = value
            if len(self._lower) >= _THRESHOLDS:
                del self._lower[next(iter(self._lower))]
        self._lower[priority] = found
        return found

    def _place(self, pod: PodInfo, row: int) -> None:
        self.pods_on[row][pod.uid] = pod
        self._count(pod, row, 1)
        if pod.required_anti_affinity:
            self.with_anti_affinity[pod.uid] = pod, row
        if pod.required_affinity or pod.preferred_affinity:
            self.with_affinity[pod.uid] = pod, row

    def _displace(self, pod: PodInfo, row: int) -> None:
        del self.pods_on[row][pod.uid]
        self._count(pod, row, -1)
        self.with_anti_affinity.pop(pod.uid, None)
        self.with_affinity.pop(pod.uid, None)

    def _count(self, pod: PodInfo, row: int, sign: int) -> None:
        for resource, value in pod.requests.items():
            # The column first: adding one replaces the arrays.
            column = self.column(resource)
            self.requested[row, column] += sign * value
        for resource, value in pod.scoring_requests.items():
            column = self.column(resource)
            self.scored[row, column] += sign * value
        self.requested[row, self.resources["pods"]] += sign
        self._priorities[pod.priority] += sign
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        for threshold, array in self._lower.items():
            if pod.priority < threshold:
                for resource, value in pod.requests.items():
                    array[row, self.resources[resource]] += sign * value
                array[row, self.resources["pods"]] += sign

    def _grow(self) -> None:
        added = self.capacity
        self._free = list(range(2 * added - 1, added - 1, -1))
        self.names += [""] * added
        self.nodes += [{}] * added
        self.labels += [{}] * added
        self.pods_on += [{} for _ in range(added)]
        self.valid = np.concatenate([self.valid, np.zeros(added, dtype=np.bool_)])
        for name in ("allocatable", "requested", "scored"):
            array = getattr(self, name)
            setattr(self, name, np.vstack([array, np.zeros((added, array.shape[1]), dtype=np.int64)]))
        self._lower.clear()
        self.capacity += added
        self._masks.clear()

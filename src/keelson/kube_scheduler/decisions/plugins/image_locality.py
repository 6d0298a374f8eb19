"""ImageLocality: prefers nodes that have the pod's images, so that less is pulled."""

from __future__ import annotations

from functools import partial

import numpy as np

from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot

NAME = "ImageLocality"
# Between these sizes in bytes the score grows; the upper one is per container (upstream's thresholds).
_SMALL, _LARGE = 23 * 2**20, 1000 * 2**20


def score(snapshot: Snapshot, pod: PodInfo, _feasible: Mask) -> Scores | None:
    """The size of images present, each scaled by how many nodes have it, so that no node draws all pods."""
    if not pod.images:
        return None
    total = np.zeros(snapshot.capacity)
    for image in pod.images:
        present = snapshot.mask((NAME, image), partial(_has, snapshot, image))
        count = int(np.count_nonzero(present))
        if count:
            sizes = np.array([_size(snapshot, int(row), image) for row in np.flatnonzero(present)], dtype=np.float64)
            total[present] += sizes * (count / max(len(snapshot), 1))
    upper = _LARGE * len(pod.images)
    return (np.clip(total, _SMALL, upper) - _SMALL) * (100.0 / (upper - _SMALL))


def _has(snapshot: Snapshot, image: str, row: int) -> bool:
    return _size(snapshot, row, image) > 0


def _size(snapshot: Snapshot, row: int, image: str) -> int:
    # An image without a tag means its tag `latest`.
    wanted = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
    for found in (snapshot.nodes[row].get("status") or {}).get("images") or []:
        if any(name == wanted or name.endswith(f"/{wanted}") for name in found.get("names") or []):
            return int(found.get("sizeBytes") or 0)
    return 0

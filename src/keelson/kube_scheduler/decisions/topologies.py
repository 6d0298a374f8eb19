"""Nodes grouped by the value of a label: zones, hosts, racks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .snapshots import Mask, Scores, Snapshot


@dataclass(frozen=True, slots=True)
class Domains:
    """The domains of one key. `index[row]` is the row's domain, valid where `present[row]`."""

    present: Mask
    index: npt.NDArray[np.intp]
    count: int

    @classmethod
    def of(cls, snapshot: Snapshot, key: str) -> Domains:
        """The domains of a label key over all nodes."""
        present = snapshot.mask(("topology", key), lambda row: key in snapshot.labels[row])
        index = np.zeros(snapshot.capacity, dtype=np.intp)
        numbers: dict[str, int] = {}
        for row in np.flatnonzero(present):
            index[row] = numbers.setdefault(snapshot.labels[int(row)][key], len(numbers))
        return cls(present, index, len(numbers))

    def sums(self, values: Scores, rows: Mask) -> Scores:
        """The sum of the rows' values in each domain."""
        chosen = rows & self.present
        counts = np.bincount(self.index[chosen], weights=values[chosen], minlength=max(self.count, 1))
        return counts.astype(np.float64, copy=False)

    def among(self, rows: Mask) -> Mask:
        """Which domains have one of these rows."""
        found = np.zeros(max(self.count, 1), dtype=np.bool_)
        found[self.index[rows & self.present]] = True
        return found

    def spread(self, per_domain: Scores) -> Scores:
        """Each row's domain's value; 0 for rows in no domain."""
        result = np.zeros(len(self.index))
        result[self.present] = per_domain[self.index[self.present]]
        return result

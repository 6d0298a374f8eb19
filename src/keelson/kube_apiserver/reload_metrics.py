"""Metrics of the configuration files that are reloaded, under upstream's names (KEP-3221, KEP-3331, KEP-3299).

An administrator compares the hash of what every server has read last, to see that a change has reached all of them.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from keelson.component_base import metrics

_LABELS = ("status", "apiserver_id_hash")


class _Family(NamedTuple):
    reloads: Counter
    moments: Gauge
    information: Gauge


@cache
def _family(kind: str) -> _Family:
    """The metrics of authentication, authorization or encryption; there are none of what is not configured."""
    prefix, about = f"apiserver_{kind}_config_controller", f"of {kind} configuration"
    return _Family(
        metrics.counter(
            f"{prefix}_automatic_reloads_total",
            f"Total number of automatic reloads {about} split by status and apiserver identity.",
            _LABELS,
        ),
        metrics.gauge(
            f"{prefix}_automatic_reload_last_timestamp_seconds",
            f"Timestamp of the last automatic reload {about} split by status and apiserver identity.",
            _LABELS,
        ),
        metrics.gauge(
            f"{prefix}_last_config_info",
            f"Information about the last applied {kind} configuration with hash as label, split by apiserver identity.",
            ("apiserver_id_hash", "hash"),
        ),
    )


def _hash(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class ConfigurationMetrics:
    """Those of one file of one server."""

    def __init__(self, kind: str, identity: str) -> None:
        self._family = _family(kind)
        self._identity = _hash(identity.encode())

    def read(self, content: bytes) -> None:
        """This is in force now."""
        self._family.information.clear()
        self._family.information.labels(self._identity, _hash(content)).set(1)

    def count(self, status: str) -> None:
        """It was reloaded: "success" or "failure"."""
        self._family.reloads.labels(status, self._identity).inc()
        self._family.moments.labels(status, self._identity).set(time.time())

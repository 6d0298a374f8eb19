"""A kopf operator of Things: it counts, validates, keeps a timer, and must be asked before a Thing goes.

Run by `kopf run`; CERTIFICATE, KEY, AUTHORITY and PORT in the environment are those of its webhook.
"""

from __future__ import annotations

import os
from typing import Any

import kopf

_THINGS = ("example.com", "v1", "things")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Serve the webhook, and keep its registration in the cluster."""
    settings.admission.managed = "operator.example.com"
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        port=int(os.environ["PORT"]),
        certfile=os.environ["CERTIFICATE"],
        pkeyfile=os.environ["KEY"],
        cafile=os.environ["AUTHORITY"],
        host="localhost",
    )


@kopf.on.validate(*_THINGS)
def admit(spec: kopf.Spec, **_: Any) -> None:
    """Nothing is smaller than nothing."""
    if spec.get("size", 0) < 0:
        raise kopf.AdmissionError("a size is not negative", code=422)


@kopf.on.create(*_THINGS)
def made(spec: kopf.Spec, patch: kopf.Patch, body: kopf.Body, **_: Any) -> dict[str, int]:
    """Say what was asked for, in status and in an event."""
    patch.status["size"] = spec["size"]
    kopf.info(body, reason="Made", message="A thing was made")
    return {"of": spec["size"]}


@kopf.on.field(*_THINGS, field="spec.size")
def resized(old: Any, new: Any, patch: kopf.Patch, **_: Any) -> None:
    """Say what was asked for afterwards."""
    if old is not None:
        patch.status["size"] = new


@kopf.on.delete(*_THINGS)
def gone(logger: kopf.Logger, **_: Any) -> None:
    """Here so that kopf puts its finalizer on every Thing."""
    logger.info("a thing goes")


@kopf.timer(*_THINGS, interval=0.5)
def tick(status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    """Count, up to three."""
    if status.get("ticks", 0) < 3:
        patch.status["ticks"] = status.get("ticks", 0) + 1

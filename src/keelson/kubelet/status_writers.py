"""Writes pods' statuses to the API: the newest one only, again until it is there, and deletes pods that have ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.rest import Client
from keelson.client.work_queues import WorkQueue, work

from .decisions import pod_statuses

log = logging.getLogger(__name__)


class StatusWriter:
    """Statuses by the pod's UID. `current(uid)` gives the API's newest copy of the pod as the node knows it."""

    def __init__(self, client: Client, current: Callable[[str], Object | None]) -> None:
        self._client = client
        self._current = current
        self._queue = WorkQueue("pod_status")
        self._wanted: dict[str, tuple[Object, Object]] = {}
        self._delete: set[str] = set()

    def status(self, uid: str) -> Object | None:
        """The newest status that was set, whether written or not."""
        found = self._wanted.get(uid)
        return found[1] if found else None

    def set(self, pod: Object, status: Object) -> None:
        """Have this status written."""
        uid = meta.uid(pod)
        known = self._wanted.get(uid)
        self._wanted[uid] = (pod, status)
        if known is None or not pod_statuses.same(known[1], status):
            self._queue.add(uid)

    def check(self, pod: Object) -> None:
        """The API shows the pod anew: write again where it does not say what it should."""
        known = self._wanted.get(meta.uid(pod))
        if known is not None and not pod_statuses.same(_merged(pod, known[1]), pod.get("status") or {}):
            self._queue.add(meta.uid(pod))

    def finish(self, pod: Object) -> None:
        """The pod's containers have ended and its deletion was asked for: write its last status and delete it."""
        self._delete.add(meta.uid(pod))
        self._wanted.setdefault(meta.uid(pod), (pod, pod.get("status") or {}))
        self._queue.add(meta.uid(pod))

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._wanted.pop(uid, None)
        self._delete.discard(uid)

    async def run(self) -> None:
        """Write until cancelled."""
        await work("pod status", self._queue, self._write, workers=4)

    async def flush(self, uid: str) -> None:
        """Write this pod's status now, if anything is to be written. Raises StatusError."""
        await self._write(uid)

    async def _write(self, uid: str) -> None:
        found = self._wanted.get(uid)
        if found is None:
            return
        pod, status = found
        current = self._current(uid)
        if current is None:
            current = await self._get(pod)
        for attempt in range(4):
            if current is None or meta.uid(current) != uid:
                log.debug("pod %s is gone; its status is not written", meta.key(pod))
                self.forget(uid)
                return
            merged = _merged(current, status)
            if pod_statuses.same(merged, current.get("status") or {}):
                break
            try:
                await self._client.update_status("pods", {**current, "status": merged})
                break
            except errors.StatusError as error:
                if error.code not in {404, 409} or attempt == 3:
                    raise
            current = await self._get(pod)
        if uid in self._delete:
            await self._remove(pod)

    async def _get(self, pod: Object) -> Object | None:
        try:
            return await self._client.get("pods", meta.name(pod), namespace=meta.namespace(pod))
        except errors.StatusError as error:
            if error.code != 404:
                raise
            return None

    async def _remove(self, pod: Object) -> None:
        try:
            await self._client.delete(
                "pods", meta.name(pod), namespace=meta.namespace(pod), grace_period_seconds=0, uid=meta.uid(pod)
            )
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                raise


def _merged(current: Object, status: Object) -> Object:
    """The status with the conditions that others own as the API has them now."""
    theirs = [
        found
        for found in (current.get("status") or {}).get("conditions") or []
        if found["type"] not in pod_statuses.OWN_CONDITIONS
    ]
    kept = {found["type"] for found in theirs}
    own = [found for found in status.get("conditions") or [] if found["type"] not in kept]
    phase = (current.get("status") or {}).get("phase")
    merged = {**status, "conditions": [*own, *theirs]}
    if phase in {"Succeeded", "Failed"} and status.get("phase") not in {"Succeeded", "Failed"}:
        # A phase never leaves an end.
        merged["phase"] = phase
    return merged


async def drain(writer: StatusWriter, uids: list[str], seconds: float) -> None:
    """Write what is still to be written, for at most so long."""
    try:
        async with asyncio.timeout(seconds):
            for uid in uids:
                await writer.flush(uid)
    except (TimeoutError, errors.StatusError) as error:
        log.warning("not all statuses were written: %s", error)

"""ttl-after-finished-controller: removes finished jobs once their time to live is over (KEP-592).

Reads: jobs.batch. Writes: deletes jobs.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import jobs

RESOURCE = "jobs.batch"


def expiry(job: Object) -> datetime | None:
    """When the job may go; None where it goes on or lives for ever."""
    seconds = (job.get("spec") or {}).get("ttlSecondsAfterFinished")
    if seconds is None or not jobs.is_finished(job) or meta.is_deleting(job):
        return None
    ended = next(
        (
            found["lastTransitionTime"]
            for found in meta.conditions(job)
            if found.get("type") in {"Complete", "Failed"} and found.get("status") == "True"
        ),
        None,
    )
    return meta.parse_time(ended) + timedelta(seconds=int(seconds)) if ended else None


class TtlAfterFinishedController:
    """One reconcile per job: when it changes, and when its time is over."""

    name = "ttl-after-finished-controller"
    account = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = WorkQueue("ttl_jobs_to_delete")
        self._jobs = context.informers.informer(RESOURCE)
        self._jobs.add_handler(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and expiry(new) is not None:
            self._queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        job = self._jobs.store.get(key)
        moment = expiry(job) if job is not None else None
        if job is None or moment is None:
            return None
        left = (moment - self._context.now()).total_seconds()
        if left > 0:
            return left
        namespace, name = meta.namespace(job), meta.name(job)
        try:
            # The server's word: the time to live may have been made longer since.
            fresh = await self._client.get(RESOURCE, name, namespace=namespace)
            moment = expiry(fresh)
            if moment is None or moment > self._context.now():
                return None
            await self._client.delete(
                RESOURCE,
                name,
                namespace=namespace,
                uid=meta.uid(fresh),
                resource_version=meta.resource_version(fresh),
                propagation_policy="Foreground",
            )
        except errors.StatusError as error:
            if error.code != 404:
                raise
        return None

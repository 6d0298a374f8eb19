"""job-controller: pods that run to completion.

Reads: jobs.batch, pods. Writes: pods (create, delete, finalizer), jobs/status, events.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import jobs
from keelson.kube_controller_manager.owned_pods import OwnedPods, enqueue_owner

RESOURCE = "jobs.batch"


class JobController:
    """One step a reconcile: count what ended, then start or stop pods."""

    name = "job-controller"
    account = "job-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder(self.name)
        self._queue = WorkQueue("job")
        self._jobs = context.informers.informer(RESOURCE)
        self._jobs.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._pod_informer = context.informers.informer("pods")
        self._pods = OwnedPods(context.client, self._pod_informer, self._recorder)
        enqueue_owner(self._queue, self._jobs, "Job", self._pod_informer)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    async def _reconcile(self, key: str) -> float | None:
        job = self._jobs.store.get(key)
        if job is None:
            await self._release_orphans(key)
            return None
        owned = await self._pods.claim(job)
        plan = jobs.plan(job, owned, self._context.now())
        if plan.status != (job.get("status") or {}):
            job = await self._client.update_status(RESOURCE, {**job, "status": plan.status})
            self._tell(job)
        for pod in plan.count:
            await self._release(pod)
        failure = ""
        if plan.delete:
            failure = await self._pods.delete(job, plan.delete)
        if plan.create and not failure:
            known = plan.failures
            made = [jobs.pod_for(job, index, None if index is None else known.get(index)) for index in plan.create]
            failure = await self._pods.create(job, made)
        if failure:
            raise errors.unavailable(failure)
        return plan.look_again

    def _tell(self, job: Object) -> None:
        if meta.condition_is(job, "Complete"):
            self._recorder.event(job, "Normal", "Completed", "Job completed")
        elif (found := meta.condition(job, "Failed")) and found["status"] == "True":
            self._recorder.event(job, "Warning", found["reason"], found["message"])

    async def _release(self, pod: Object) -> None:
        rest = [found for found in meta.metadata(pod).get("finalizers") or [] if found != jobs.FINALIZER]
        patch = {"metadata": {"uid": meta.uid(pod), "finalizers": rest or None}}
        try:
            await self._client.patch("pods", meta.name(pod), patch, namespace=meta.namespace(pod))
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                raise

    async def _release_orphans(self, key: str) -> None:
        """The job is gone: its pods' finalizers must not keep them."""
        namespace, name = meta.split_key(key)
        for pod in self._pod_informer.store:
            owner = meta.controller_of(pod)
            if (
                owner is not None
                and owner["kind"] == "Job"
                and owner["name"] == name
                and meta.namespace(pod) == namespace
                and jobs.FINALIZER in (meta.metadata(pod).get("finalizers") or [])
            ):
                await self._release(pod)

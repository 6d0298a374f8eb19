"""cronjob-controller: jobs by the clock.

Reads: cronjobs.batch, jobs.batch, the zone data of this host. Writes: jobs, cronjobs/status, events.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import cron_jobs, schedules
from keelson.kube_controller_manager.decisions.schedules import Schedule
from keelson.kube_controller_manager.own_writes import OwnWrites
from keelson.kube_controller_manager.owned_pods import BY_OWNER, index, owner_uid

RESOURCE = "cronjobs.batch"
JOBS = "jobs.batch"
_LOCAL_ZONE = Path("/etc/localtime")


def local_zone() -> tzinfo:
    """The zone of this host, which holds for schedules that name none; UTC where it states none."""
    try:
        with _LOCAL_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


class CronJobController:
    """One reconcile per object: at each of its times, and when it or one of its jobs changes."""

    name = "cronjob-controller"
    account = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder(self.name)
        self._queue = WorkQueue("cronjob")
        self._cron_jobs = context.informers.informer(RESOURCE)
        self._cron_jobs.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._jobs = context.informers.informer(JOBS)
        index(self._jobs)
        self._jobs.add_handler(self._job_changed)
        self._writes = OwnWrites(self._jobs)
        self._zone = local_zone()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            owner = meta.controller_of(obj) if obj is not None else None
            if obj is not None and owner is not None and owner["kind"] == "CronJob":
                self._queue.add(meta.key_of(meta.namespace(obj), owner["name"]))

    def _schedule(self, cron_job: Object) -> Schedule | str:
        spec = cron_job["spec"]
        zone, name = self._zone, spec.get("timeZone")
        if name:
            try:
                zone = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                return f'UnknownTimeZone: invalid timeZone: "{name}": unknown time zone {name}'
        try:
            return schedules.parse(str(spec.get("schedule") or ""), zone)
        except schedules.ScheduleError as error:
            return f'UnparseableSchedule: unparseable schedule: "{spec.get("schedule")}" : {error}'

    async def _reconcile(self, key: str) -> float | None:
        cron_job = self._cron_jobs.store.get(key)
        if cron_job is None:
            return None
        uid = meta.uid(cron_job)
        jobs = self._writes.over(self._jobs.store.by_index(BY_OWNER, uid), lambda job: owner_uid(job) == [uid])
        gone = await self._gone(cron_job, jobs)
        plan = cron_jobs.plan(cron_job, jobs, gone, self._schedule(cron_job), self._context.now())
        for kind, reason, message in plan.events:
            self._recorder.event(cron_job, kind, reason, message)
        for job in plan.delete:
            await self._delete(cron_job, job)
        status = plan.status
        if plan.create is not None:
            job = await self._create(cron_job, plan.create)
            if owner_uid(job) == [uid]:
                status = cron_jobs.started(status, job)
        if status != (cron_job.get("status") or {}):
            await self._client.update_status(RESOURCE, {**cron_job, "status": status})
        return plan.look_again

    async def _gone(self, cron_job: Object, jobs: list[Object]) -> set[str]:
        """The UIDs of active jobs that do not exist: asked of the server, for the informer may only be late."""
        known = {meta.uid(job) for job in jobs}
        result = set()
        for found in (cron_job.get("status") or {}).get("active") or ():
            if found.get("uid") in known:
                continue
            try:
                job = await self._client.get(JOBS, found["name"], namespace=meta.namespace(cron_job))
            except errors.StatusError as error:
                if error.code != 404:
                    raise
                result.add(str(found["uid"]))
            else:
                if meta.uid(job) != found.get("uid"):
                    result.add(str(found["uid"]))
        return result

    async def _create(self, cron_job: Object, fresh: Object) -> Object:
        try:
            job = await self._client.create(JOBS, fresh)
        except errors.StatusError as error:
            if error.reason == "AlreadyExists":
                # Ours, before its status was written, or somebody else's, who sees to its status himself.
                return await self._client.get(JOBS, meta.name(fresh), namespace=meta.namespace(fresh))
            self._recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        self._writes.created(job)
        self._recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {meta.name(job)}")
        return job

    async def _delete(self, cron_job: Object, job: Object) -> None:
        try:
            await self._client.delete(
                JOBS, meta.name(job), namespace=meta.namespace(job), uid=meta.uid(job), propagation_policy="Background"
            )
        except errors.StatusError as error:
            if error.code == 404:
                return
            self._recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error.message}")
            raise
        self._writes.deleted(job)
        self._recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")

"""What a CronJob does next: a job for the time that has come, what it does about those still running, what it forgets.

Rules: Kubernetes documentation, "CronJob" (deadline, concurrency policy, history limits, time zones). A job's name
follows from the time that it is for, so that no time has two.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from keelson.api import meta
from keelson.api.meta import Object

from .schedules import Schedule

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# A little after the time itself, so that a clock set back a little does not find it still to come.
_MARGIN = timedelta(milliseconds=100)
_MANY = 100


@dataclass(slots=True)
class Plan:
    """`create` is the job to start; `events` are (type, reason, message). `look_again` is in seconds from now."""

    create: Object | None = None
    delete: list[Object] = field(default_factory=list)
    events: list[tuple[Literal["Normal", "Warning"], str, str]] = field(default_factory=list)
    status: Object = field(default_factory=dict)
    look_again: float | None = None


def finished(job: Object) -> str:
    """ "Complete", "Failed", or "" while it goes on."""
    return next((type_ for type_ in ("Complete", "Failed") if meta.condition_is(job, type_)), "")


def _active(status: Object) -> list[Object]:
    return list(status.get("active") or ())


def plan(
    cron_job: Object, jobs: Sequence[Object], gone: Collection[str], schedule: Schedule | str, now: datetime
) -> Plan:
    """The next step. `jobs` are the ones that it controls, `gone` the UIDs of active ones that do not exist any more.

    `schedule` is a text where it can't be followed: the warning to give, as "REASON: message".
    """
    result = Plan(status=copy.deepcopy(cron_job.get("status") or {}))
    _settle(cron_job, jobs, gone, result)
    spec = cron_job["spec"]
    if not meta.is_deleting(cron_job):
        if isinstance(schedule, str):
            reason, _, message = schedule.partition(": ")
            result.events.append(("Warning", reason, message))
        elif not spec.get("suspend"):
            _start(cron_job, jobs, schedule, now, result)
    for limit, end in (("successfulJobsHistoryLimit", "Complete"), ("failedJobsHistoryLimit", "Failed")):
        if spec.get(limit) is not None:
            old = sorted((job for job in jobs if finished(job) == end and not meta.is_deleting(job)), key=_age)
            result.delete += old[: max(len(old) - int(spec[limit]), 0)]
    if not result.status.get("active"):
        result.status.pop("active", None)
    return result


def _age(job: Object) -> tuple[str, str]:
    # Those that never started are the last to go.
    return str((job.get("status") or {}).get("startTime") or "~"), meta.name(job)


def _settle(cron_job: Object, jobs: Sequence[Object], gone: Collection[str], result: Plan) -> None:
    """Take what ended off the list of active jobs, and note the last success."""
    status = result.status
    listed = {found.get("uid") for found in _active(status)}
    for job in jobs:
        end = finished(job)
        if not end:
            if meta.uid(job) not in listed:
                why = f"Saw a job that the controller did not create or forgot: {meta.name(job)}"
                result.events.append(("Warning", "UnexpectedJob", why))
            continue
        if meta.uid(job) in listed:
            _strike(status, meta.uid(job))
            why = f"Saw completed job: {meta.name(job)}, condition: {end}"
            result.events.append(("Normal", "SawCompletedJob", why))
        completed = (job.get("status") or {}).get("completionTime")
        if end == "Complete" and completed and completed > str(status.get("lastSuccessfulTime") or ""):
            status["lastSuccessfulTime"] = completed
    for found in _active(status):
        if found.get("uid") in gone:
            _strike(status, str(found["uid"]))
            result.events.append(("Normal", "MissingJob", f"Active job went missing: {found.get('name')}"))


def _strike(status: Object, uid: str) -> None:
    status["active"] = [found for found in _active(status) if found.get("uid") != uid]


def _start(cron_job: Object, jobs: Sequence[Object], schedule: Schedule, now: datetime, result: Plan) -> None:
    spec, status = cron_job["spec"], result.status
    due, missed = _due(cron_job, schedule, now)
    upcoming = schedule.after(due or now)
    while upcoming is not None and upcoming <= now:
        upcoming = schedule.after(now)
    if upcoming is not None:
        result.look_again = (upcoming + _MARGIN - now).total_seconds()
    if due is None:
        return
    if missed > _MANY:
        why = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        result.events.append(("Warning", "TooManyMissedTimes", why))
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and due + timedelta(seconds=int(deadline)) < now:
        shown = due.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
        result.events.append(("Warning", "MissSchedule", f"Missed scheduled time to start a job: {shown}"))
        return
    name = job_name(cron_job, due)
    if any(found.get("name") == name for found in _active(status)) or _last(cron_job) == due:
        return
    policy = spec.get("concurrencyPolicy") or "Allow"
    if policy == "Forbid" and _active(status):
        why = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.events.append(("Normal", "JobAlreadyActive", why))
        return
    if policy == "Replace":
        running = {found.get("uid") for found in _active(status)}
        result.delete += [job for job in jobs if meta.uid(job) in running]
        status["active"] = []
    result.create = job_for(cron_job, due, schedule)


def _last(cron_job: Object) -> datetime | None:
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    return meta.parse_time(last) if last else None


def _due(cron_job: Object, schedule: Schedule, now: datetime) -> tuple[datetime | None, int]:
    """(the latest time that has come and was not served, about how many came)."""
    since = _last(cron_job) or meta.parse_time(str(meta.metadata(cron_job)["creationTimestamp"]))
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - timedelta(seconds=int(deadline)))
    first = schedule.after(since)
    if first is None or first > now:
        return None, 0
    second = schedule.after(first)
    if second is None or second > now:
        return first, 1
    # So many may have been missed that counting them one by one would take long: jump close to now first.
    apart = max((second - first).total_seconds(), 1.0)
    count = int((now - first).total_seconds() // apart) + 1
    found = first
    following = schedule.after(first + timedelta(seconds=(count - 2) * apart))
    while following is not None and following <= now:
        found, following = following, schedule.after(following)
    return found, count


def job_name(cron_job: Object, due: datetime) -> str:
    """The name of the job for a time: no two for one minute."""
    return f"{meta.name(cron_job)}-{int(due.timestamp()) // 60}"


def job_for(cron_job: Object, due: datetime, schedule: Schedule) -> Object:
    """The job for a time."""
    template = cron_job["spec"]["jobTemplate"]
    head = template.get("metadata") or {}
    moment = due.astimezone(schedule.zone).isoformat(timespec="seconds")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron_job, due),
            "namespace": meta.namespace(cron_job),
            "labels": dict(head.get("labels") or {}),
            "annotations": {**(head.get("annotations") or {}), SCHEDULED_AT: moment.replace("+00:00", "Z")},
            "ownerReferences": [meta.owner_reference(cron_job)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def started(status: Object, job: Object) -> Object:
    """The status once the job is there; the time that it is for was served."""
    reference: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta.name(job),
        "namespace": meta.namespace(job),
        "uid": meta.uid(job),
        "resourceVersion": meta.resource_version(job),
    }
    active = [found for found in _active(status) if found.get("uid") != meta.uid(job)]
    minutes = int(meta.name(job).rpartition("-")[2])
    moment = meta.annotations(job).get(SCHEDULED_AT)
    due = meta.parse_time(moment) if moment else datetime.fromtimestamp(minutes * 60, UTC)
    return {**status, "active": [*active, reference], "lastScheduleTime": meta.format_time(due)}

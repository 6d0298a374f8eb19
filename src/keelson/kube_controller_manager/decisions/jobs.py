"""How a Job proceeds: pods to start and stop, when it has succeeded or failed, its status (batch/v1 Job).

Finished pods are counted once: each carries the finalizer `batch.kubernetes.io/job-tracking` until its end is in the
job's counters, and `status.uncountedTerminatedPods` holds those that are between the two (KEP-2307).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keelson.api import meta
from keelson.api.meta import Object

from . import job_policies as policies
from . import pods

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
_LABELS = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
_FIRST_BACKOFF, _LAST_BACKOFF = 10.0, 600.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`create`: a completion index per new pod (None where not indexed), `failures` how often an index failed before,
    where that counts. `count`: pods whose finalizer goes once `status` is written."""

    create: tuple[int | None, ...] = ()
    failures: dict[int, int] = field(default_factory=dict)
    delete: tuple[Object, ...] = ()
    count: tuple[Object, ...] = ()
    status: Object = field(default_factory=dict)
    look_again: float | None = None


def is_finished(job: Object) -> bool:
    """The job is Complete or Failed."""
    return meta.condition_is(job, "Complete") or meta.condition_is(job, "Failed")


def pod_for(job: Object, index: int | None, failures: int | None = None) -> Object:
    """A pod of the job; an indexed one carries its index as label, annotation, host name and variable.

    `failures` is how many pods of its index failed, None where nobody asks.
    """
    pod = pods.from_template(job["spec"]["template"], job)
    pod["metadata"]["finalizers"] = [*(pod["metadata"].get("finalizers") or []), FINALIZER]
    if index is None:
        return pod
    head = pod["metadata"]
    head["generateName"] = f"{meta.name(job)}-{index}-"
    head.setdefault("annotations", {})[INDEX] = str(index)
    if failures is not None:
        head["annotations"][policies.FAILURES] = str(failures)
    head.setdefault("labels", {})[INDEX] = str(index)
    pod["spec"].setdefault("hostname", f"{meta.name(job)}-{index}")
    variable = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}},
    }
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"].get("containers", [])]:
        if all(found.get("name") != variable["name"] for found in container.get("env") or []):
            container.setdefault("env", []).append(variable)
    return pod


def _finished(job: Object, pod: Object) -> str:
    if pods.phase(pod) == "Succeeded":
        return "Succeeded"
    return "Failed" if policies.has_failed(job, pod) and _tracked(pod) else ""


def plan(job: Object, owned: Sequence[Object], now: datetime) -> Plan:
    """The next step of the job, whose pods are `owned`."""
    if is_finished(job) or meta.is_deleting(job):
        # Deleted or finished: only let go of the pods.
        return Plan(count=tuple(p for p in owned if _tracked(p)), status=dict(job.get("status") or {}))
    spec, old = job["spec"], job.get("status") or {}
    indexed = spec.get("completionMode") == "Indexed"
    tracked = {meta.uid(pod): pod for pod in owned if _tracked(pod)}
    active = [pod for pod in owned if pods.is_active(pod)]
    lost = [pod for pod in tracked.values() if _finished(job, pod) == "Failed"]
    ignored = {meta.uid(pod) for pod in lost if not policies.judge(job, pod).counts}
    counters: dict[str, int] = {}
    uncounted: dict[str, list[str]] = {}
    for name, end in (("succeeded", "Succeeded"), ("failed", "Failed")):
        listed = [str(uid) for uid in (old.get("uncountedTerminatedPods") or {}).get(name) or []]
        # Off the list and into the counter once the finalizer is seen to be gone: a crash in between loses nothing.
        counters[name] = int(old.get(name) or 0) + sum(uid not in tracked for uid in listed)
        kept = [uid for uid in listed if uid in tracked]
        fresh = [uid for uid, pod in tracked.items() if _finished(job, pod) == end and uid not in kept]
        uncounted[name] = kept + [uid for uid in fresh if uid not in ignored]
    succeeded = counters["succeeded"] + len(uncounted["succeeded"])
    failed = counters["failed"] + len(uncounted["failed"])
    indices = policies.indices(str(old.get("completedIndexes") or ""))
    broken = policies.indices(str(old.get("failedIndexes") or ""))
    if indexed:
        done = (tracked[uid] for uid in uncounted["succeeded"])
        indices |= {found for pod in done if (found := _index(pod)) is not None}
        succeeded = len(indices)
        ended = (_index(pod) for pod in lost if policies.ends_index(job, pod))
        broken = (broken | {index for index in ended if index is not None}) - indices
    result: Object = {name: old[name] for name in ("startTime", "conditions") if name in old}
    suspended = bool(spec.get("suspend"))
    if not suspended:
        result.setdefault("startTime", meta.format_time(now))
    conditions = list(result.get("conditions") or [])
    verdict = (
        _criteria(job)
        or _ruling(job, lost, indices, broken)
        or _verdict(job, result, succeeded=succeeded, failed=failed, active=len(active), owned=owned, now=now)
    )
    failures: dict[int, int] = {}
    create: tuple[int | None, ...] = ()
    delete: tuple[Object, ...] = ()
    look_again: float | None = None
    if verdict is not None:
        type_, reason, message = verdict
        delete = tuple(active)
        settled = not any(uncounted.values()) and all(map(_has_ended, owned))
        conditions = _ended(conditions, type_, reason, message, now, settled=settled)
        if settled and type_ == "Complete":
            result["completionTime"] = meta.format_time(now)
        active = []
    elif suspended:
        delete = tuple(active)
        active = []
        conditions = meta.with_condition(
            conditions, type_="Suspended", status="True", reason="JobSuspended", message="Job suspended", now=now
        )
        result.pop("startTime", None)
    else:
        if meta.condition_is({"status": {"conditions": conditions}}, "Suspended"):
            conditions = meta.with_condition(
                conditions, type_="Suspended", status="False", reason="JobResumed", message="Job resumed", now=now
            )
        wanted = _parallelism(spec, succeeded + len(broken))
        leaving = [pod for pod in owned if meta.is_deleting(pod) and not _has_ended(pod)]
        held = active + leaving if policies.replaces_failed_only(job) else active
        missing = wanted - len(held)
        if len(active) > wanted:
            delete = tuple(pods.deletion_order(active, on_node={})[: len(active) - wanted])
        elif spec.get("backoffLimitPerIndex") is not None:
            create, failures, look_again = _next_tries(job, indices | broken, owned, held, missing, now)
        elif (wait := _backoff(owned, failed, now)) > 0:
            look_again = wait
        elif missing > 0:
            create = _next_indices(spec, indices, held, missing) if indexed else (None,) * missing
        look_again = _sooner(look_again, _deadline(spec, result, now))
    if indexed:
        counters["succeeded"] = len(indices)
    result |= {name: value for name, value in {"active": len(active), **counters}.items() if value}
    if indexed and indices:
        result["completedIndexes"] = policies.ranges(indices)
    if spec.get("backoffLimitPerIndex") is not None:
        result["failedIndexes"] = policies.ranges(broken)
    result["ready"] = sum(pods.is_ready(pod) for pod in active)
    result["terminating"] = sum(meta.is_deleting(pod) and not _has_ended(pod) for pod in owned)
    result["uncountedTerminatedPods"] = {name: uids for name, uids in uncounted.items() if uids}
    if conditions:
        result["conditions"] = conditions
    count = [tracked[uid] for uids in uncounted.values() for uid in uids]
    if verdict is None and spec.get("backoffLimitPerIndex") is not None:
        # The last failed pod of an index tells how often it failed, until the next one carries the number on.
        followed = broken | {found for pod in active if (found := _index(pod)) is not None}
        count = [pod for pod in count if pods.phase(pod) == "Succeeded" or _index(pod) in followed]
    count += [pod for pod in lost if meta.uid(pod) in ignored and (verdict is not None or _index(pod) not in failures)]
    return Plan(
        create=create, failures=failures, delete=delete, count=tuple(count), status=result, look_again=look_again
    )


def _tracked(pod: Object) -> bool:
    return FINALIZER in (meta.metadata(pod).get("finalizers") or [])


def _has_ended(pod: Object) -> bool:
    return pods.phase(pod) in {"Succeeded", "Failed"}


def _criteria(job: Object) -> tuple[str, str, str] | None:
    """What was decided before, and only has to be carried out."""
    for criteria, type_ in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        known = meta.condition(job, criteria)
        if known is not None and known["status"] == "True":
            return type_, str(known.get("reason") or ""), str(known.get("message") or "")
    return None


def _ruling(job: Object, lost: Iterable[Object], done: set[int], broken: set[int]) -> tuple[str, str, str] | None:
    """What the job's policies say of its failed pods, and of the indices that succeeded and failed."""
    spec = job["spec"]
    for pod in lost:
        if message := policies.judge(job, pod).ends_job:
            return "Failed", "PodFailurePolicy", message
    if message := policies.matched_success(job, done):
        return "Complete", "SuccessPolicy", message
    if broken and spec.get("maxFailedIndexes") is not None and len(broken) > int(spec["maxFailedIndexes"]):
        return "Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if broken and len(done) + len(broken) >= int(spec.get("completions") or 0):
        return "Failed", "FailedIndexes", "Job has failed indexes"
    return None


def _next_tries(
    job: Object, over: set[int], owned: Iterable[Object], held: Iterable[Object], most: int, now: datetime
) -> tuple[tuple[int, ...], dict[int, int], float | None]:
    """(indices to start now, how often each failed before, when to look for those that have to wait first)."""
    failed: dict[int, list[Object]] = {}
    for pod in owned:
        index = _index(pod)
        if index is not None and policies.has_failed(job, pod):
            failed.setdefault(index, []).append(pod)
    chosen: dict[int, int] = {}
    look_again: float | None = None
    for index in _next_indices(job["spec"], over, held, int(job["spec"].get("completions") or 0)):
        if len(chosen) >= most:
            break
        before = policies.failures_after(job, failed.get(index, ()))
        wait = _backoff(failed.get(index, ()), before, now)
        if wait > 0:
            look_again = _sooner(look_again, wait)
        else:
            chosen[index] = before
    return tuple(chosen), chosen, look_again


def _verdict(
    job: Object, status: Object, *, succeeded: int, failed: int, active: int, owned: Iterable[Object], now: datetime
) -> tuple[str, str, str] | None:
    spec = job["spec"]
    limit = int(spec.get("backoffLimit", 6))
    restarts = sum(
        int(found.get("restartCount") or 0)
        for pod in owned
        if pods.is_active(pod)
        for found in (pod.get("status") or {}).get("containerStatuses") or []
    )
    on_failure = (spec["template"].get("spec") or {}).get("restartPolicy") == "OnFailure"
    if failed > limit or (on_failure and restarts > 0 and restarts >= limit):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = spec.get("activeDeadlineSeconds")
    started = status.get("startTime") if not spec.get("suspend") else None
    if deadline is not None and started and meta.parse_time(started) + timedelta(seconds=int(deadline)) <= now:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    completions = spec.get("completions")
    if completions is not None and succeeded >= int(completions):
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    if completions is None and succeeded > 0 and active == 0:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _ended(
    conditions: list[Object], type_: str, reason: str, message: str, now: datetime, *, settled: bool
) -> list[Object]:
    """The criterion at once; the end itself when all pods have ended and are counted (KEP-3998)."""
    criteria = "SuccessCriteriaMet" if type_ == "Complete" else "FailureTarget"
    for name in (criteria, type_) if settled else (criteria,):
        conditions = meta.with_condition(
            conditions,
            type_=name,
            status="True",
            reason=reason,
            message=message,
            now=now,
            lastProbeTime=meta.format_time(now),
        )
    return conditions


def _parallelism(spec: Object, succeeded: int) -> int:
    parallelism = int(spec.get("parallelism", 1))
    completions = spec.get("completions")
    if completions is None:
        # A work queue: once one pod has succeeded no new ones start.
        return parallelism if not succeeded else 0
    return min(parallelism, int(completions) - succeeded)


def _deadline(spec: Object, status: Object, now: datetime) -> float | None:
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is None or "startTime" not in status:
        return None
    return max((meta.parse_time(status["startTime"]) + timedelta(seconds=int(deadline)) - now).total_seconds(), 0.01)


def _sooner(left: float | None, right: float | None) -> float | None:
    return min((value for value in (left, right) if value is not None), default=None)


def _backoff(owned: Iterable[Object], failed: int, now: datetime) -> float:
    if not failed:
        return 0.0
    ends = [moment for pod in owned if pods.phase(pod) == "Failed" for moment in _ends(pod)]
    if not ends:
        return 0.0
    delay = min(_FIRST_BACKOFF * 2.0 ** min(failed - 1, 10), _LAST_BACKOFF)
    return (max(ends) + timedelta(seconds=delay) - now).total_seconds()


def _ends(pod: Object) -> list[datetime]:
    return [
        meta.parse_time(ended["finishedAt"])
        for found in (pod.get("status") or {}).get("containerStatuses") or []
        if (ended := (found.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]


def _index(pod: Object) -> int | None:
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdecimal() else None


def _next_indices(spec: Object, done: set[int], active: Iterable[Object], count: int) -> tuple[int, ...]:
    taken = done | {found for pod in active if (found := _index(pod)) is not None}
    free = (number for number in range(int(spec.get("completions") or 0)) if number not in taken)
    return tuple(number for number, _ in zip(free, range(count), strict=False))

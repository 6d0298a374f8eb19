"""Jobs: how many pods, when they end, and that each finished pod is counted exactly once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from keelson.api import meta
from keelson.kube_controller_manager.decisions import jobs

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _job(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "ns", "uid": "job"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 2, "template": template, **spec},
    }


def _pod(name: str, phase: str = "Running", *, tracked: bool = True, index: int | None = None) -> dict[str, Any]:
    head: dict[str, Any] = {"name": name, "namespace": "ns", "uid": name}
    if tracked:
        head["finalizers"] = [jobs.FINALIZER]
    if index is not None:
        head["annotations"] = {jobs.INDEX: str(index)}
    return {"metadata": head, "spec": {"nodeName": "n"}, "status": {"phase": phase}}


def test_the_life_of_a_job_of_one_pod() -> None:
    job = _job()
    plan = jobs.plan(job, [], NOW)
    assert plan.create == (None,)
    job["status"] = plan.status
    pod = jobs.pod_for(job, None)
    assert jobs.FINALIZER in pod["metadata"]["finalizers"]
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "job"

    done = _pod("p", "Succeeded")
    plan = jobs.plan(job, [done], NOW)
    assert plan.create == ()
    assert plan.status["uncountedTerminatedPods"] == {"succeeded": ["p"]}
    assert [meta.name(pod) for pod in plan.count] == ["p"]
    job["status"] = plan.status
    assert meta.condition_is(job, "SuccessCriteriaMet")
    assert not jobs.is_finished(job)

    plan = jobs.plan(job, [_pod("p", "Succeeded", tracked=False)], NOW)
    job["status"] = plan.status
    assert jobs.is_finished(job)
    assert (plan.status["succeeded"], plan.status["uncountedTerminatedPods"]) == (1, {})
    assert plan.status["completionTime"] == "2026-01-01T00:00:00Z"


def test_a_crash_between_status_and_finalizer_counts_once() -> None:
    job = _job(completions=3, parallelism=3)
    job["status"] = jobs.plan(job, [_pod("a", "Succeeded")], NOW).status
    for _ in range(3):
        job["status"] = jobs.plan(job, [_pod("a", "Succeeded")], NOW).status
    assert "succeeded" not in job["status"]
    for _ in range(3):
        job["status"] = jobs.plan(job, [], NOW).status
    assert job["status"]["succeeded"] == 1


def test_failures_back_off_and_then_fail_the_job() -> None:
    job = _job(backoffLimit=1)
    failed = _pod("a", "Failed")
    failed["status"]["containerStatuses"] = [{"state": {"terminated": {"finishedAt": meta.format_time(NOW)}}}]
    plan = jobs.plan(job, [failed], NOW)
    assert plan.create == ()
    assert plan.look_again == 10
    job["status"] = plan.status
    later = NOW + timedelta(seconds=11)
    assert jobs.plan(job, [failed], later).create == (None,)
    plan = jobs.plan(job, [failed, _pod("b", "Failed")], later)
    found = meta.condition({"status": plan.status}, "FailureTarget")
    assert found is not None
    assert found["reason"] == "BackoffLimitExceeded"


def test_a_deadline_ends_the_job_and_its_pods() -> None:
    job = _job(activeDeadlineSeconds=5)
    job["status"] = {"startTime": meta.format_time(NOW)}
    plan = jobs.plan(job, [_pod("a")], NOW + timedelta(seconds=2))
    assert plan.look_again == 3
    plan = jobs.plan(job, [_pod("a")], NOW + timedelta(seconds=5))
    assert [meta.name(pod) for pod in plan.delete] == ["a"]


def test_parallelism_is_bounded_by_what_is_left() -> None:
    assert len(jobs.plan(_job(completions=5, parallelism=3), [], NOW).create) == 3
    assert len(jobs.plan(_job(completions=2, parallelism=3), [], NOW).create) == 2
    plan = jobs.plan(_job(completions=5, parallelism=1), [_pod("a"), _pod("b")], NOW)
    assert len(plan.delete) == 1


def test_indexed_jobs_fill_the_gaps() -> None:
    job = _job(completions=5, parallelism=3, completionMode="Indexed")
    job["status"] = {"completedIndexes": "0,2-3", "startTime": meta.format_time(NOW)}
    plan = jobs.plan(job, [_pod("x", index=1)], NOW)
    assert plan.create == (4,)
    plan = jobs.plan(job, [_pod("x", "Succeeded", index=1)], NOW)
    assert plan.status["completedIndexes"] == "0-3"
    pod = jobs.pod_for(job, 4)
    assert pod["metadata"]["labels"][jobs.INDEX] == "4"
    assert pod["spec"]["hostname"] == "j-4"


def test_a_suspended_job_stops_its_pods_and_resumes() -> None:
    job = _job(suspend=True)
    plan = jobs.plan(job, [_pod("a")], NOW)
    assert len(plan.delete) == 1
    job["status"] = plan.status
    assert meta.condition_is(job, "Suspended")
    job["spec"]["suspend"] = False
    plan = jobs.plan(job, [], NOW)
    assert plan.create == (None,)
    assert meta.condition_is({"status": plan.status}, "Suspended", "False")

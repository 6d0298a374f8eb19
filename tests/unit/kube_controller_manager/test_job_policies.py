"""A Job's policies: failures that do not count, that end an index or the job, and successes that are enough."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta
from keelson.kube_controller_manager.decisions import job_policies, jobs
from keelson.kube_controller_manager.decisions.job_policies import Judgement

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def job(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "ns", "uid": "job"},
        "spec": {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": template, **spec},
    }


def indexed(**spec: Any) -> dict[str, Any]:
    return job(completionMode="Indexed", **spec)


def pod(name: str, phase: str, *, index: int | None = None, code: int = 1, failures: int = 0) -> dict[str, Any]:
    head: dict[str, Any] = {"name": name, "namespace": "ns", "uid": name, "finalizers": [jobs.FINALIZER]}
    if index is not None:
        head["annotations"] = {jobs.INDEX: str(index), job_policies.FAILURES: str(failures)}
    status: dict[str, Any] = {"phase": phase}
    if phase == "Failed":
        ended = {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z"}
        status["containerStatuses"] = [{"name": "c", "state": {"terminated": ended}}]
    return {"metadata": head, "spec": {"nodeName": "n"}, "status": status}


def codes(action: str, operator: str = "In", **fields: Any) -> dict[str, Any]:
    return {"rules": [{"action": action, "onExitCodes": {"operator": operator, "values": [42], **fields}}]}


@pytest.mark.parametrize(
    ("policy", "judgement"),
    [
        ({"rules": []}, Judgement()),
        (codes("Ignore"), Judgement(counts=False)),
        (codes("Count"), Judgement()),
        (codes("Ignore", "NotIn"), Judgement()),
        (codes("Ignore", containerName="other"), Judgement()),
        (
            codes("FailJob"),
            Judgement(ends_job="Container c for pod ns/p failed with exit code 42 matching FailJob rule at index 0"),
        ),
        (codes("FailIndex"), Judgement(ends_index=True)),
        ({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}, Judgement()),
    ],
)
def test_the_first_rule_that_matches_judges(policy: dict[str, Any], judgement: Judgement) -> None:
    found = job_policies.judge(indexed(podFailurePolicy=policy, backoffLimitPerIndex=1), pod("p", "Failed", code=42))
    assert found == judgement


def test_a_disruption_may_be_ignored() -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}
    disrupted = pod("p", "Failed")
    disrupted["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    plan = jobs.plan(job(podFailurePolicy=policy, backoffLimit=0), [disrupted], LATER)
    assert "failed" not in plan.status
    assert [meta.name(each) for each in plan.count] == ["p"]
    assert plan.create == (None, None)


def test_a_rule_ends_the_job() -> None:
    plan = jobs.plan(job(podFailurePolicy=codes("FailJob")), [pod("p", "Failed", code=42), pod("q", "Running")], NOW)
    (condition,) = plan.status["conditions"]
    assert (condition["type"], condition["reason"]) == ("FailureTarget", "PodFailurePolicy")
    assert [meta.name(each) for each in plan.delete] == ["q"]


def test_a_pod_that_is_going_keeps_its_place_where_its_end_matters() -> None:
    leaving = pod("p", "Running")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    held = jobs.plan(job(podFailurePolicy=codes("FailJob")), [leaving], NOW)
    assert (held.create, held.status.get("failed"), held.status["terminating"]) == ((None,), None, 1)
    replaced = jobs.plan(job(), [leaving], NOW)
    assert replaced.status["uncountedTerminatedPods"] == {"failed": ["p"]}


def test_an_index_fails_by_itself_and_the_others_go_on() -> None:
    one = indexed(backoffLimitPerIndex=1, backoffLimit=2**31 - 1)
    first = pod("a", "Failed", index=1)
    plan = jobs.plan(one, [pod("z", "Succeeded", index=0), first], LATER)
    assert plan.create == (1, 2)
    assert plan.failures == {1: 1, 2: 0}
    # Its failure is known by nothing else until the next pod of the index is there.
    assert [meta.name(each) for each in plan.count] == ["z"]
    one["status"] = plan.status
    plan = jobs.plan(one, [first, pod("b", "Failed", index=1, failures=1), pod("c", "Running", index=2)], LATER)
    assert plan.status["failedIndexes"] == "1"
    assert plan.create == (3,)
    assert {meta.name(each) for each in plan.count} == {"a", "b"}


def test_a_job_with_failed_indices_fails_when_all_are_over() -> None:
    ends = [pod("a", "Failed", index=1, failures=1), *(pod(f"s{i}", "Succeeded", index=i) for i in (0, 2, 3))]
    plan = jobs.plan(indexed(backoffLimitPerIndex=1), ends, LATER)
    assert plan.status["conditions"][0]["reason"] == "FailedIndexes"
    assert (plan.status["completedIndexes"], plan.status["failedIndexes"]) == ("0,2,3", "1")


def test_too_many_failed_indices_end_the_job() -> None:
    ends = [pod("a", "Failed", index=0), pod("b", "Failed", index=1)]
    plan = jobs.plan(indexed(backoffLimitPerIndex=0, maxFailedIndexes=1), ends, LATER)
    assert plan.status["conditions"][0]["reason"] == "MaxFailedIndexesExceeded"


@pytest.mark.parametrize(
    ("rule", "done", "message"),
    [
        ({"succeededCount": 2}, {0, 3}, "Matched rules at index 0"),
        ({"succeededCount": 2}, {0}, ""),
        ({"succeededIndexes": "0-1"}, {0, 1}, "Matched rules at index 0"),
        ({"succeededIndexes": "0-1"}, {0, 2, 3}, ""),
        ({"succeededIndexes": "0-2", "succeededCount": 1}, {2}, "Matched rules at index 0"),
    ],
)
def test_successes_that_are_enough(rule: dict[str, Any], done: set[int], message: str) -> None:
    assert job_policies.matched_success(indexed(successPolicy={"rules": [rule]}), done) == message


@pytest.mark.parametrize("text", ["", "0", "1,2", "1,3-5,7"])
def test_indices_are_written_as_ranges(text: str) -> None:
    assert job_policies.ranges(job_policies.indices(text)) == text

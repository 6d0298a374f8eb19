"""What a Job's policies make of its pods' ends: failures that do not count, that end an index or the whole job, and
successes that are enough (batch/v1 Job: podFailurePolicy, backoffLimitPerIndex, successPolicy; KEP-3329, 3850, 3998).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keelson.api import meta
from keelson.api.meta import Object

from . import pods

FAILURES = "batch.kubernetes.io/job-index-failure-count"
"""On a pod: how many pods of its index failed before it, those that count."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a failed pod means. `ends_job` is the message of the job's failure, "" where it goes on."""

    counts: bool = True
    ends_index: bool = False
    ends_job: str = ""


def judge(job: Object, pod: Object) -> Judgement:
    """The judgement of a failed pod by the first rule that matches; without one the failure counts."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
    for number, rule in enumerate(rules):
        found = _matched(rule, pod)
        if not found:
            continue
        action = rule["action"]
        return Judgement(
            counts=action != "Ignore",
            ends_index=action == "FailIndex" and job["spec"].get("backoffLimitPerIndex") is not None,
            ends_job=f"{found} matching FailJob rule at index {number}" if action == "FailJob" else "",
        )
    return Judgement()


def replaces_failed_only(job: Object) -> bool:
    """Whether a pod that is being deleted keeps its place until it has ended (podReplacementPolicy)."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def has_failed(job: Object, pod: Object) -> bool:
    """Whether a pod has failed. One deleted before it ended did not succeed, unless its end is waited for."""
    phase = pods.phase(pod)
    if phase == "Failed":
        return True
    return meta.is_deleting(pod) and phase != "Succeeded" and not replaces_failed_only(job)


def ends_index(job: Object, pod: Object) -> bool:
    """Whether the failure of this pod is its index's failure."""
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None:
        return False
    judgement = judge(job, pod)
    return judgement.ends_index or (judgement.counts and failures_before(pod) >= int(limit))


def failures_before(pod: Object) -> int:
    """How many pods of the pod's index failed before it."""
    text = meta.annotations(pod).get(FAILURES, "")
    return int(text) if text.isdecimal() else 0


def failures_after(job: Object, failed: Iterable[Object]) -> int:
    """How many pods of an index have failed, given those that are known."""
    return max((failures_before(pod) + judge(job, pod).counts for pod in failed), default=0)


def matched_success(job: Object, succeeded: set[int]) -> str:
    """The message of a success by policy, given the indices that succeeded; "" where there is none yet."""
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or []):
        wanted = indices(rule["succeededIndexes"]) if rule.get("succeededIndexes") is not None else None
        count = rule.get("succeededCount")
        there = succeeded if wanted is None else succeeded & wanted
        if len(there) >= (int(count) if count is not None else len(wanted or ())) > 0:
            return f"Matched rules at index {number}"
    return ""


def indices(text: str) -> set[int]:
    """The indices that `ranges` wrote."""
    result: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first:
            result |= set(range(int(first), int(last or first) + 1))
    return result


def ranges(found: set[int]) -> str:
    """Indices as status.completedIndexes and failedIndexes write them: "1,3-5,7"."""
    spans: list[list[int]] = []
    for number in sorted(found):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else (f"{a},{b}" if b == a + 1 else f"{a}-{b}") for a, b in spans)


def _matched(rule: Object, pod: Object) -> str:
    """What of the pod matches the rule, in words; "" where nothing does."""
    place = f"{meta.namespace(pod)}/{meta.name(pod)}"
    status = pod.get("status") or {}
    codes = rule.get("onExitCodes")
    if codes is not None:
        for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
            code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode")
            if not code or codes.get("containerName") not in (None, container.get("name")):
                continue
            if (code in codes["values"]) is (codes["operator"] == "In"):
                return f"Container {container['name']} for pod {place} failed with exit code {code}"
        return ""
    for pattern in rule.get("onPodConditions") or ():
        found = meta.condition(pod, pattern["type"])
        if found is not None and found.get("status") == pattern.get("status", "True"):
            return f"Pod {place} has condition {pattern['type']}"
    return ""

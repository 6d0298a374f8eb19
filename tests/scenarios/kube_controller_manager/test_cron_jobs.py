"""CronJobs at one moment each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.decisions import cron_jobs, schedules

CASES = yaml.safe_load(Path(__file__).with_name("cron_jobs.yaml").read_text(encoding="utf-8"))
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-01T{text}").replace(tzinfo=UTC)


def _name(minute: int) -> str:
    return f"tick-{int(DAY.timestamp()) // 60 + minute}"


def _minute(obj: Object) -> int:
    return int(str(obj.get("name") or meta.name(obj)).rpartition("-")[2]) - int(DAY.timestamp()) // 60


def _cron_job(case: dict[str, Any]) -> Object:
    status: Object = {}
    if "last" in case:
        status["lastScheduleTime"] = meta.format_time(_moment(case["last"]))
    if active := [{"name": _name(m), "uid": f"job-{m}"} for m, _, listed in case.get("jobs", []) if listed]:
        status["active"] = active
    spec: Object = {
        "concurrencyPolicy": case.get("policy", "Allow"),
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}},
    }
    if "deadline" in case:
        spec["startingDeadlineSeconds"] = case["deadline"]
    if "limits" in case:
        spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"] = case["limits"]
    if case.get("suspend"):
        spec["suspend"] = True
    metadata: Object = {"name": "tick", "namespace": "default", "uid": "tick"}
    metadata["creationTimestamp"] = meta.format_time(DAY + timedelta(seconds=30))
    if case.get("deleted"):
        metadata["deletionTimestamp"] = meta.format_time(DAY)
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec, "status": status}


def _job(minute: int, state: str) -> Object:
    started = meta.format_time(DAY + timedelta(minutes=minute))
    status: Object = {"startTime": started}
    if state != "active":
        status["conditions"] = [{"type": state, "status": "True"}]
    return {"metadata": {"name": _name(minute), "namespace": "default", "uid": f"job-{minute}"}, "status": status}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_one_moment(case: dict[str, Any]) -> None:
    now = _moment(case["now"])
    jobs = [_job(minute, state) for minute, state, _ in case.get("jobs", []) if state != "gone"]
    gone = {f"job-{minute}" for minute, state, _ in case.get("jobs", []) if state == "gone"}
    schedule = case.get("warning") or schedules.parse(case.get("schedule", "*/5 * * * *"))
    plan = cron_jobs.plan(_cron_job(case), jobs, gone, schedule, now)
    found: dict[str, Any] = {
        "create": _minute(plan.create) if plan.create is not None else None,
        "delete": sorted(map(_minute, plan.delete)),
        "events": [reason for _, reason, _ in plan.events],
        "active": [_minute(each) for each in plan.status.get("active") or []],
    }
    if plan.look_again is not None:
        again = now + timedelta(seconds=plan.look_again - 0.1) - DAY
        found["again"] = round(again.total_seconds()) // 60
    assert {name: value for name, value in found.items() if value not in (None, [])} == case["then"]


def test_a_job_tells_the_time_that_it_is_for_in_the_zone_of_the_schedule() -> None:
    schedule = schedules.parse("*/5 * * * *", ZoneInfo("Europe/Berlin"))
    job = cron_jobs.job_for(_cron_job({}), _moment("00:05:00"), schedule)
    assert meta.annotations(job)[cron_jobs.SCHEDULED_AT] == "2026-01-01T01:05:00+01:00"
    assert meta.labels(job) == {"a": "b"}
    status = cron_jobs.started({}, {**job, "metadata": {**job["metadata"], "uid": "u", "resourceVersion": "7"}})
    assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert [each["uid"] for each in status["active"]] == ["u"]

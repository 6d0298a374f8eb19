"""The rules for work that ends (batch/v1 Job, CronJob)."""

from __future__ import annotations

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.strategies import same
from keelson.api.validation import causes, pods, schedules, selectors
from keelson.api.validation.causes import Causes

_MODES = ("NonIndexed", "Indexed")
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_REPLACEMENTS = ("TerminatingOrFailed", "Failed")
_ACTIONS = ("FailJob", "FailIndex", "Ignore", "Count")
_MAX_CRON_NAME = 52
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")


def _job_spec(out: Causes, path: str, spec: Object) -> None:
    for field in (*_COUNTS, "backoffLimitPerIndex", "maxFailedIndexes"):
        causes.non_negative(out, f"{path}.{field}", spec.get(field))
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in _MODES:
        out.append(causes.unsupported(f"{path}.completionMode", mode, _MODES))
    if mode == "Indexed":
        if spec.get("completions") is None:
            detail = "when completion mode is Indexed"
            out.append(causes.required(f"{path}.completions", detail))
    else:
        for field in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
            if spec.get(field) is not None:
                detail = "requires indexed completion mode"
                out.append(causes.invalid(f"{path}.{field}", spec[field], detail))
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None and replacement not in _REPLACEMENTS:
        out.append(causes.unsupported(f"{path}.podReplacementPolicy", replacement, _REPLACEMENTS))
    _failure_policy(out, f"{path}.podFailurePolicy", spec)
    template = spec.get("template")
    pods.pod_template(out, f"{path}.template", template)
    policy = ((template or {}).get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        where = f"{path}.template.spec.restartPolicy"
        out.append(causes.unsupported(where, policy, ("OnFailure", "Never")))


def _failure_policy(out: Causes, path: str, spec: Object) -> None:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    if (((spec.get("template") or {}).get("spec")) or {}).get("restartPolicy") != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        found = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
        out.append(causes.invalid(f"{path.rpartition('.')[0]}.template.spec.restartPolicy", found, detail))
    for index, rule in enumerate(policy.get("rules") or ()):
        where = f"{path}.rules[{index}]"
        causes.one_of(out, f"{where}.action", rule.get("action"), _ACTIONS)
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is None and not patterns:
            detail = "specifying one of OnExitCodes and OnPodConditions is required"
            out.append(causes.invalid(where, rule, detail))
        if codes is not None and patterns:
            detail = "specifying both OnExitCodes and OnPodConditions is not supported"
            out.append(causes.invalid(where, rule, detail))
        if codes is not None:
            causes.one_of(out, f"{where}.onExitCodes.operator", codes.get("operator"), ("In", "NotIn"))
            if not codes.get("values"):
                detail = "at least one value is required"
                out.append(causes.invalid(f"{where}.onExitCodes.values", codes.get("values"), detail))


def create_job(obj: Object) -> Causes:
    """A Job; its selector and labels have been generated unless the user took that upon himself."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _job_spec(out, "spec", spec)
    selector = spec.get("selector")
    if selector is None:
        out.append(causes.required("spec.selector"))
        return out
    selectors.label_selector(out, "spec.selector", selector)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        detail = "`selector` does not match template `labels`"
        out.append(causes.invalid("spec.template.metadata.labels", labels, detail))
    if not spec.get("manualSelector") and wanted.get("batch.kubernetes.io/controller-uid") != meta.uid(obj):
        out.append(causes.invalid("spec.selector", selector, "`selector` not auto-generated"))
    return out


def update_job(new: Object, old: Object) -> Causes:
    """A change of a Job: what it runs and how it counts is for life."""
    out: Causes = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    _job_spec(out, "spec", spec)
    for field in (
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ):
        if not same(spec.get(field), before.get(field)):
            out.append(causes.immutable(f"spec.{field}", spec.get(field)))
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if spec.get("completions") != before.get("completions") and not elastic:
        out.append(causes.immutable("spec.completions", spec.get("completions")))
    if not same(_fixed_template(spec, before), _fixed_template(before, before)):
        out.append(causes.immutable("spec.template", spec.get("template")))
    return out


def _fixed_template(spec: Object, stored: Object) -> Object:
    """The part of the template that may not change: while suspended, where pods run and what they ask for may."""
    template = dict(spec.get("template") or {})
    if not stored.get("suspend"):
        return template
    inner = {**(template.get("spec") or {})}
    for field in ("nodeSelector", "affinity", "tolerations", "schedulingGates"):
        inner.pop(field, None)
    for field in ("containers", "initContainers"):
        if field in inner:
            inner[field] = [{k: v for k, v in c.items() if k != "resources"} for c in inner[field]]
    labels = (template.get("metadata") or {}).get("labels") or {}
    owned = {key: labels[key] for key in ("controller-uid", "batch.kubernetes.io/controller-uid") if key in labels}
    return {"metadata": {"labels": owned}, "spec": inner}


def create_cron_job(obj: Object) -> Causes:
    """A CronJob."""
    out: Causes = []
    spec = obj.get("spec") or {}
    if len(meta.name(obj)) > _MAX_CRON_NAME:
        out.append(causes.invalid("metadata.name", meta.name(obj), f"must be no more than {_MAX_CRON_NAME} characters"))
    schedule, zone = spec.get("schedule"), spec.get("timeZone")
    if not schedule:
        out.append(causes.required("spec.schedule"))
    else:
        complaint = schedules.complaint(schedule)
        if complaint:
            out.append(causes.invalid("spec.schedule", schedule, complaint))
        if "TZ" in schedule:
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            out.append(causes.invalid("spec.schedule", schedule, detail))
    if zone is not None and schedules.zone_complaint(zone):
        out.append(causes.invalid("spec.timeZone", zone, schedules.zone_complaint(zone)))
    causes.one_of(out, "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), _CONCURRENCY)
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        causes.non_negative(out, f"spec.{field}", spec.get(field))
    template = spec.get("jobTemplate")
    if template is None:
        out.append(causes.required("spec.jobTemplate"))
        return out
    inner = template.get("spec") or {}
    if inner.get("manualSelector"):
        detail = "`manualSelector` will be auto-generated"
        out.append(causes.unsupported("spec.jobTemplate.spec.manualSelector", detail, ("nil", "false")))
    _job_spec(out, "spec.jobTemplate.spec", inner)
    return out


CREATE = {("batch/v1", "Job"): create_job, ("batch/v1", "CronJob"): create_cron_job}
UPDATE = {("batch/v1", "Job", ""): update_job}

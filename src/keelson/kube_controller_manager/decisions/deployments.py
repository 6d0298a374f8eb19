"""How a Deployment's rollout proceeds: the sizes of its ReplicaSets, their revisions, and its status.

The rules are those of the Deployment documentation: never more than replicas + maxSurge pods, never fewer available
than replicas - maxUnavailable, sick pods of old sets first, scaling in mid-rollout in proportion to the sets' sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keelson.api import meta
from keelson.api.meta import Object

from . import hashes
from .pods import scaled

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to write: a set to create, sets to scale (name to replicas), to annotate (name to values), to delete."""

    create: Object | None = None
    scale: dict[str, int] = field(default_factory=dict)
    annotate: dict[str, dict[str, str]] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    revision: str = ""


def replicas(obj: Object) -> int:
    """spec.replicas, by default 1."""
    return int(obj["spec"].get("replicas", 1))


def _status(obj: Object, name: str) -> int:
    return int((obj.get("status") or {}).get(name) or 0)


def template_hash(deployment: Object) -> str:
    """The value of `pod-template-hash` for the deployment's current template."""
    return hashes.of(deployment["spec"]["template"], collisions=_status(deployment, "collisionCount"))


def _plain_template(template: Object) -> Object:
    plain = copy.deepcopy(template)
    (plain.get("metadata", {}).get("labels") or {}).pop(HASH_LABEL, None)
    return plain


def current(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The set with the deployment's template: of several the oldest, so that all instances agree."""
    wanted = _plain_template(deployment["spec"]["template"])
    matching = [found for found in sets if _plain_template(found["spec"]["template"]) == wanted]
    return min(matching, key=_age, default=None)


def _age(obj: Object) -> tuple[str, str]:
    return str(meta.metadata(obj).get("creationTimestamp") or ""), meta.name(obj)


def revision(obj: Object) -> int:
    """The number in the revision annotation, 0 where there is none."""
    text = meta.annotations(obj).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def max_surge(deployment: Object) -> int:
    """How many pods a rolling update may have beyond replicas; percentages are rounded up."""
    if _kind(deployment) != "RollingUpdate":
        return 0
    return _surge_and_unavailable(deployment)[0]


def max_unavailable(deployment: Object) -> int:
    """How many pods may be unavailable during a rolling update; percentages are rounded down."""
    if _kind(deployment) != "RollingUpdate" or not replicas(deployment):
        return 0
    return min(_surge_and_unavailable(deployment)[1], replicas(deployment))


def _surge_and_unavailable(deployment: Object) -> tuple[int, int]:
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), replicas(deployment), round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas(deployment), round_up=False)
    # Validation refuses 0 and 0; rounding may still lead there, and a rollout must be able to move.
    return surge, 1 if not surge and not unavailable else unavailable


def _kind(deployment: Object) -> str:
    return str((deployment["spec"].get("strategy") or {}).get("type") or "RollingUpdate")


def plan(deployment: Object, sets: Sequence[Object], *, old_pods_running: bool) -> Plan:
    """The next step of the rollout.

    `sets` are all ReplicaSets that the deployment controls; `old_pods_running` tells whether a pod of another
    template still runs, which a Recreate waits for.
    """
    new = current(deployment, sets)
    old = sorted((found for found in sets if found is not new), key=_age)
    newest_old = max((revision(found) for found in old), default=0)
    number = revision(new) if new is not None and revision(new) > newest_old else newest_old + 1
    paused = bool(deployment["spec"].get("paused"))
    sizes: dict[str, int]
    create = None
    if paused or (_is_scaling(deployment, sets)):
        sizes = _proportional(deployment, new, old)
    elif _kind(deployment) == "Recreate":
        sizes = {meta.name(found): 0 for found in old if replicas(found)}
        if not sizes and not old_pods_running:
            if new is None:
                create = _new_set(deployment, replicas(deployment), number)
            else:
                sizes[meta.name(new)] = replicas(deployment)
    elif new is None:
        create = _new_set(deployment, _new_size(deployment, 0, sets), number)
        sizes = {}
    else:
        sizes = _rolling(deployment, new, old)
    scale = {meta.name(s): sizes[meta.name(s)] for s in sets if sizes.get(meta.name(s), replicas(s)) != replicas(s)}
    return Plan(
        create=create,
        scale=scale,
        annotate=_annotations(deployment, new, old, number, paused=paused),
        delete=_surplus_history(deployment, new, old),
        revision=str(number) if (new is not None or create is not None) else "",
    )


def _is_scaling(deployment: Object, sets: Sequence[Object]) -> bool:
    return any(
        replicas(found) > 0
        and meta.annotations(found).get(DESIRED, str(replicas(deployment))) != str(replicas(deployment))
        for found in sets
    )


def _new_size(deployment: Object, size: int, sets: Sequence[Object]) -> int:
    """To what size the new set may grow while the total stays within replicas + maxSurge."""
    if _kind(deployment) != "RollingUpdate":
        return replicas(deployment)
    total = sum(replicas(found) for found in sets)
    limit = replicas(deployment) + max_surge(deployment)
    if total >= limit:
        return size
    return size + min(limit - total, max(replicas(deployment) - size, 0))


def _rolling(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    wanted = replicas(deployment)
    if replicas(new) > wanted:
        return {meta.name(new): wanted}
    if replicas(new) < wanted:
        grown = _new_size(deployment, replicas(new), [new, *old])
        if grown != replicas(new):
            return {meta.name(new): grown}
    active = [found for found in old if replicas(found)]
    if not active:
        return {}
    minimum = wanted - max_unavailable(deployment)
    new_unavailable = replicas(new) - _status(new, "availableReplicas")
    total = sum(replicas(found) for found in [new, *active])
    removable = total - minimum - new_unavailable
    if removable <= 0:
        return {}
    sizes = {meta.name(found): replicas(found) for found in active}
    # Sick pods first: removing them costs no availability.
    for found in active:
        sick = replicas(found) - _status(found, "availableReplicas")
        taken = min(max(sick, 0), removable)
        sizes[meta.name(found)] -= taken
        removable -= taken
    available = sum(_status(found, "availableReplicas") for found in [new, *active])
    healthy = min(max(available - minimum, 0), sum(sizes.values()))
    for found in active:
        taken = min(sizes[meta.name(found)], healthy)
        sizes[meta.name(found)] -= taken
        healthy -= taken
    return sizes


def _proportional(deployment: Object, new: Object | None, old: Sequence[Object]) -> dict[str, int]:
    """Sizes after spec.replicas changed in mid-rollout: each set grows or shrinks by its share."""
    sets = ([new] if new is not None else []) + list(old)
    active = [found for found in sets if replicas(found)]
    if len(active) <= 1:
        only = active[0] if active else new
        return {meta.name(only): replicas(deployment)} if only is not None else {}
    if new is not None and _status(new, "availableReplicas") == replicas(new) == replicas(deployment):
        return {meta.name(found): 0 for found in old}
    if _kind(deployment) != "RollingUpdate":
        return {}
    allowed = replicas(deployment) + (max_surge(deployment) if replicas(deployment) else 0)
    total = sum(replicas(found) for found in active)
    change = allowed - total
    grows = change > 0
    ordered = sorted(active, key=lambda found: (-replicas(found), *(_age(found))), reverse=False)
    sizes: dict[str, int] = {}
    left = change
    for found in ordered:
        before = int(meta.annotations(found).get(MAXIMUM) or 0) or total
        share = round(replicas(found) * allowed / before) - replicas(found)
        share = min(max(share, 0), left) if grows else max(min(share, 0), left)
        sizes[meta.name(found)] = replicas(found) + share
        left -= share
    if left and ordered:
        first = meta.name(ordered[0])
        sizes[first] = max(sizes[first] + left, 0)
    return sizes


def _new_set(deployment: Object, size: int, number: int) -> Object:
    digest = template_hash(deployment)
    template = copy.deepcopy(deployment["spec"]["template"])
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = digest
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
    spec: Object = {"replicas": size, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name(deployment)}-{digest}",
            "namespace": meta.namespace(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {**_copied(deployment), REVISION: str(number), **_sizes(deployment)},
            "ownerReferences": [meta.owner_reference(deployment)],
        },
        "spec": spec,
    }


def _copied(deployment: Object) -> dict[str, str]:
    return {name: value for name, value in meta.annotations(deployment).items() if name not in _NOT_COPIED}


def _sizes(deployment: Object) -> dict[str, str]:
    return {DESIRED: str(replicas(deployment)), MAXIMUM: str(replicas(deployment) + max_surge(deployment))}


def _annotations(
    deployment: Object, new: Object | None, old: Sequence[Object], number: int, *, paused: bool
) -> dict[str, dict[str, str]]:
    wanted: dict[str, dict[str, str]] = {}
    for found in old:
        if replicas(found):
            wanted[meta.name(found)] = _sizes(deployment)
    if new is not None:
        mine = {**_copied(deployment), **_sizes(deployment)}
        if not paused or revision(new) == 0:
            mine[REVISION] = str(number)
            if 0 < revision(new) < number:
                history = meta.annotations(new).get(REVISION_HISTORY, "")
                mine[REVISION_HISTORY] = ",".join(part for part in (history, str(revision(new))) if part)
        wanted[meta.name(new)] = mine
    by_name = {meta.name(found): meta.annotations(found) for found in [*old, *([new] if new is not None else [])]}
    return {
        name: values for name, values in wanted.items() if any(by_name[name].get(k) != v for k, v in values.items())
    }


def _surplus_history(deployment: Object, new: Object | None, old: Sequence[Object]) -> tuple[str, ...]:
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or new is None or not is_complete(deployment):
        return ()
    idle = [
        found
        for found in sorted(old, key=revision)
        if not replicas(found) and not _status(found, "replicas") and not meta.is_deleting(found)
    ]
    return tuple(meta.name(found) for found in idle[: max(len(idle) - int(limit), 0)])


def is_complete(deployment: Object) -> bool:
    """All pods are of the newest template and available, and no other runs."""
    return (
        _status(deployment, "updatedReplicas") == replicas(deployment)
        and _status(deployment, "replicas") == replicas(deployment)
        and _status(deployment, "availableReplicas") == replicas(deployment)
        and _status(deployment, "observedGeneration") >= int(meta.metadata(deployment).get("generation") or 0)
    )


def status(deployment: Object, sets: Sequence[Object], now: datetime) -> tuple[Object, float | None]:
    """(the deployment's status, seconds until its progress deadline must be looked at again or None)."""
    new = current(deployment, sets)
    old = deployment.get("status") or {}
    total = sum(replicas(found) for found in sets)
    available = sum(_status(found, "availableReplicas") for found in sets)
    counts = {
        "replicas": sum(_status(found, "replicas") for found in sets),
        "updatedReplicas": _status(new, "replicas") if new is not None else 0,
        "readyReplicas": sum(_status(found, "readyReplicas") for found in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(total - available, 0),
    }
    result: Object = {
        "observedGeneration": int(meta.metadata(deployment).get("generation") or 0),
        **{name: value for name, value in counts.items() if value},
        "terminatingReplicas": sum(_status(found, "terminatingReplicas") for found in sets),
    }
    if old.get("collisionCount"):
        result["collisionCount"] = old["collisionCount"]
    enough = available >= replicas(deployment) - max_unavailable(deployment)
    conditions = meta.with_condition(
        old.get("conditions") or [],
        type_="Available",
        status="True" if enough else "False",
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        now=now,
        lastUpdateTime=_last_update(old, "Available", "True" if enough else "False", now),
    )
    conditions, look_again = _progress(deployment, result, conditions, new, sets, now)
    result["conditions"] = conditions
    return result, look_again


def _last_update(old: Object, type_: str, value: str, now: datetime) -> str:
    found = meta.condition({"status": old}, type_)
    same = found is not None and found.get("status") == value and found.get("lastUpdateTime")
    return str(found["lastUpdateTime"]) if same and found is not None else meta.format_time(now)


def _progress(
    deployment: Object,
    fresh: Object,
    conditions: list[Object],
    new: Object | None,
    sets: Sequence[Object],
    now: datetime,
) -> tuple[list[Object], float | None]:
    failure = next((found for one in sets for found in meta.conditions(one) if found["type"] == "ReplicaFailure"), None)
    conditions = [found for found in conditions if found["type"] != "ReplicaFailure"]
    if failure is not None:
        conditions = [*conditions, {**failure, "lastUpdateTime": failure.get("lastTransitionTime")}]
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if deadline is None or deadline >= 2**31 - 1:
        return [found for found in conditions if found["type"] != "Progressing"], None
    known = next((found for found in conditions if found["type"] == "Progressing"), None)
    subject = f'ReplicaSet "{meta.name(new)}"' if new is not None else f'Deployment "{meta.name(deployment)}"'

    def set_to(value: str, reason: str, message: str) -> list[Object]:
        return meta.with_condition(
            conditions,
            type_="Progressing",
            status=value,
            reason=reason,
            message=message,
            now=now,
            lastUpdateTime=meta.format_time(now),
        )

    if deployment["spec"].get("paused"):
        if known is not None and known.get("reason") == "DeploymentPaused":
            return conditions, None
        return set_to("Unknown", "DeploymentPaused", "Deployment is paused"), None
    if known is not None and known.get("reason") == "DeploymentPaused":
        return set_to("Unknown", "DeploymentResumed", "Deployment is resumed"), float(deadline)
    if is_complete({**deployment, "status": fresh}):
        if (
            known is not None
            and known.get("reason") == "NewReplicaSetAvailable"
            and subject in known.get("message", "")
        ):
            return conditions, None
        return set_to("True", "NewReplicaSetAvailable", f"{subject} has successfully progressed."), None
    if known is None and new is None:
        return conditions, None
    before = deployment.get("status") or {}
    moved = (
        known is None
        or int(fresh.get("updatedReplicas") or 0) > int(before.get("updatedReplicas") or 0)
        or _old_count(fresh) < _old_count(before)
        or int(fresh.get("readyReplicas") or 0) > int(before.get("readyReplicas") or 0)
        or int(fresh.get("availableReplicas") or 0) > int(before.get("availableReplicas") or 0)
        or (
            known.get("reason") == "NewReplicaSetAvailable"
            and known.get("status") == "True"
            and new is not None
            and int(fresh["observedGeneration"]) > int(before.get("observedGeneration") or 0)
        )
    )
    if moved:
        return set_to("True", "ReplicaSetUpdated", f"{subject} is progressing."), float(deadline)
    if known is None or known.get("reason") == "NewReplicaSetAvailable":
        # Once complete, a pod that falls ill later is no lack of progress of a rollout.
        return conditions, None
    since = meta.parse_time(known.get("lastUpdateTime") or known["lastTransitionTime"])
    due = since + timedelta(seconds=int(deadline))
    if due > now:
        return conditions, (due - now).total_seconds() + 1
    if known.get("reason") == "ProgressDeadlineExceeded":
        return conditions, None
    return set_to("False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing."), None


def _old_count(status: Object) -> int:
    return int(status.get("replicas") or 0) - int(status.get("updatedReplicas") or 0)

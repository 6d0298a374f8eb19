"""The claims of a StatefulSet's pods: their names, and who owns them, so that they go when the policy says (KEP-1847).

Kept when scaled and when deleted: no owner. Deleted with the set: owned by the set. Deleted when scaled: owned by the
pod, from the moment it is beyond the set.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object


def name(stateful_set: Object, template: Object, number: int) -> str:
    """The name of the claim that a template makes for the pod of this number."""
    return f"{meta.name(template)}-{meta.name(stateful_set)}-{number}"


def _policy(stateful_set: Object) -> tuple[bool, bool]:
    """(deleted with the set, deleted when scaled)."""
    found = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return found.get("whenDeleted") == "Delete", found.get("whenScaled") == "Delete"


def of(stateful_set: Object, number: int) -> list[Object]:
    """The claims that the pod of this number needs, owned from the start by the set where they go with it."""
    result = []
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        head = meta.metadata(template)
        selected = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
        metadata: dict[str, Any] = {
            "name": name(stateful_set, template, number),
            "namespace": meta.namespace(stateful_set),
            "labels": {**(head.get("labels") or {}), **selected},
        }
        if head.get("annotations"):
            metadata["annotations"] = dict(head["annotations"])
        if _policy(stateful_set)[0]:
            metadata["ownerReferences"] = [meta.owner_reference(stateful_set)]
        spec = copy.deepcopy(template.get("spec") or {})
        result.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    return result


def volumes(stateful_set: Object, number: int) -> list[Object]:
    """The volumes by which the pod of this number mounts its claims."""
    return [
        {"name": meta.name(template), "persistentVolumeClaim": {"claimName": name(stateful_set, template, number)}}
        for template in stateful_set["spec"].get("volumeClaimTemplates") or ()
    ]


def _refers(reference: Mapping[str, Any], obj: Object, kind: str, group: str) -> bool:
    same_group = str(reference.get("apiVersion") or "").rpartition("/")[0] == group
    return same_group and reference.get("kind") == kind and reference.get("name") == meta.name(obj)


def is_stale(stateful_set: Object, pod: Object, number: int, claims: Mapping[str, Object]) -> bool:
    """Whether a claim is still owned by an earlier pod of this name, with which it will go."""
    if not _policy(stateful_set)[1]:
        return False
    return any(
        _refers(reference, pod, "Pod", "") and reference.get("uid") != meta.uid(pod)
        for claim in of(stateful_set, number)
        if meta.name(claim) in claims
        for reference in meta.owners(claims[meta.name(claim)])
    )


def owners(stateful_set: Object, pod: Object, claim: Object, *, wanted: bool) -> list[Object] | None:
    """The owners that the claim should have, None where they are right or not ours to judge.

    `wanted` says that the pod is within the set and not to be scaled down.
    """
    deleted, scaled = _policy(stateful_set)
    theirs: list[Object] = []
    ours: list[Object] = []
    for reference in meta.owners(claim):
        owner = stateful_set if _refers(reference, stateful_set, "StatefulSet", "apps") else None
        owner = pod if _refers(reference, pod, "Pod", "") else owner
        if owner is None:
            theirs.append(reference)
        elif reference.get("uid") != meta.uid(owner):
            # Of an earlier set or pod of this name: the garbage collector's, not ours.
            return None
        else:
            ours.append(reference)
    target: list[Object] = []
    if not (deleted or scaled) or not any(reference.get("controller") for reference in theirs):
        if scaled and not wanted:
            target = [meta.owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})]
        elif deleted:
            target = [meta.owner_reference(stateful_set)]
    same = {reference.get("uid") for reference in ours} == {reference["uid"] for reference in target}
    if same and all(reference.get("controller") for reference in ours):
        return None
    return [*theirs, *target]

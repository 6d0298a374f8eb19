"""ControllerRevisions: which of a workload's templates is current, which is the target, and how many are kept.

A revision keeps a template as the patch that would restore it, which is how `kubectl rollout` reads it. Returning to
an earlier template gives its revision the highest number rather than making another.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from . import hashes

HASH_LABEL = "controller.kubernetes.io/hash"
_NOT_COPIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class History:
    """`update` has the template of now, `current` the one that pods are updated from. Exactly what is to be written:
    `create` says that `update` is new, `renumber` that it was found and gets a new number (0 where not)."""

    current: Object
    update: Object
    create: bool = False
    renumber: int = 0


def data_of(template: Object) -> Object:
    """What a revision keeps of a template: the patch, its fields in the order in which upstream writes and compares it.

    Upstream's controllers and clients take a revision for the current one if its bytes are those they would write.
    """
    ordered_: Object = _in_order({"spec": {"template": {**copy.deepcopy(template), "$patch": "replace"}}})
    return ordered_


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value)}
    return [_in_order(found) for found in value] if isinstance(value, list) else value


def template_of(revision: Object) -> Object:
    """The template that a revision keeps."""
    found = copy.deepcopy(((revision.get("data") or {}).get("spec") or {}).get("template") or {})
    found.pop("$patch", None)
    return dict(found)


def ordered(revisions: Iterable[Object]) -> list[Object]:
    """Oldest first: by number, then by creation, then by name."""
    return sorted(
        revisions,
        key=lambda r: (int(r.get("revision") or 0), str(meta.metadata(r).get("creationTimestamp") or ""), meta.name(r)),
    )


def history(owner: Object, existing: Sequence[Object], current_name: str) -> History:
    """The owner's current and target revision among those that it has."""
    known = ordered(existing)
    template = owner["spec"]["template"]
    newest = int(known[-1]["revision"]) if known else 0
    same = [found for found in known if template_of(found) == template]
    if not same:
        update = _fresh(owner, newest + 1)
        create, renumber = True, 0
    else:
        update, create = same[-1], False
        renumber = newest + 1 if update is not known[-1] else 0
    current = next((found for found in known if meta.name(found) == current_name), update)
    return History(current, update, create, renumber)


def _fresh(owner: Object, number: int) -> Object:
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    template = owner["spec"]["template"]
    digest = hashes.of(template, collisions=collisions)
    annotations = {name: value for name, value in meta.annotations(owner).items() if name != _NOT_COPIED}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name(owner)}-{digest}",
            "namespace": meta.namespace(owner),
            "labels": {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: digest},
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "data": data_of(template),
        "revision": number,
    }


def surplus(existing: Sequence[Object], live: Iterable[str], limit: int) -> list[Object]:
    """The revisions to delete: the oldest of those that are not live (by name) beyond the limit."""
    kept = set(live)
    old = [found for found in ordered(existing) if meta.name(found) not in kept]
    return old[: max(len(old) - limit, 0)]

"""What an object must obey beyond its shape: one function per kind and road, in the words of the API's errors.

Objects come after decoding, defaults and `strategies`: their types are right and the system's fields are filled in.
Every function returns all causes it found, an empty list where there are none; `errors.invalid` makes a 422 of them.
The rules are those of the API reference and the API conventions ("Validation").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.api.schemas import Schema
from keelson.api.validation import (
    access,
    admission_policies,
    admissions,
    batches,
    clusters,
    configurations,
    extensions,
    limits,
    networking,
    object_metadata,
    persistence,
    pod_updates,
    pods,
    policies,
    rules,
    services,
    structural,
    workloads,
)
from keelson.api.validation.causes import Cause, Causes
from keelson.api.validation.rules import price as rules_price

__all__ = ["Cause", "Causes", "rules_price", "validate_create", "validate_structural", "validate_update"]

_CREATE: dict[tuple[str, str], Callable[[Object], Causes]] = {
    **pods.CREATE,
    **services.CREATE,
    **workloads.CREATE,
    **batches.CREATE,
    **configurations.CREATE,
    **limits.CREATE,
    **clusters.CREATE,
    **persistence.CREATE,
    **access.CREATE,
    **networking.CREATE,
    **policies.CREATE,
    **extensions.CREATE,
    **admissions.CREATE,
    **admission_policies.CREATE,
}
# A kind without an entry for an ordinary update obeys the rules of its creation; a subresource without one has none.
_UPDATE: dict[tuple[str, str, str], Callable[[Object, Object], Causes]] = {
    **pod_updates.UPDATE,
    **services.UPDATE,
    **workloads.UPDATE,
    **batches.UPDATE,
    **configurations.UPDATE,
    **limits.UPDATE,
    **clusters.UPDATE,
    **persistence.UPDATE,
    **access.UPDATE,
    **networking.UPDATE,
    **extensions.UPDATE,
    **admissions.UPDATE,
    **admission_policies.UPDATE,
}


def validate_create(resource: Resource, obj: Object) -> Causes:
    """What is wrong with an object that is about to be created."""
    found = object_metadata.create(resource, obj)
    check = _CREATE.get((resource.api_version, resource.kind))
    if check is not None:
        found += check(obj)
    return found


def validate_update(resource: Resource, new: Object, old: Object, *, subresource: str = "") -> Causes:
    """What is wrong with `new` as the successor of `old`; `subresource` is the one written, "" for the object."""
    found = object_metadata.update(resource, new, old)
    check = _UPDATE.get((resource.api_version, resource.kind, subresource))
    if check is not None:
        found += check(new, old)
    elif not subresource:
        create = _CREATE.get((resource.api_version, resource.kind))
        if create is not None:
            found += create(new)
    return found


def validate_structural(
    schema: Schema,
    obj: Object,
    old: Object | None = None,
    *,
    subresource: str = "",
    scale: Mapping[str, Any] | None = None,
    timing: AbstractContextManager[None] | None = None,
) -> Causes:
    """What is wrong with a custom resource by its CRD version's schema; what didn't change from `old` is let be.

    `subresource` is the one written, "" for the object; `scale` what the version says of its scale subresource,
    `timing` a context in which the rules are judged.
    """
    found = structural.validate(schema, obj, old, subresource=subresource)
    if scale is not None:
        found += structural.scale_causes(scale, obj, subresource=subresource)
    with timing or nullcontext():
        return found + rules.validate(schema, obj, old, found=found)

"""Whether a CRD gets the names it asks for, and what its status says of that. Pure.

Names are first come, first served within a group: plurals, singulars and short names share one space, kinds and list
kinds another. What a CRD holds by its status it keeps (apiextensions.k8s.io/v1, conditions NamesAccepted and
Established).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import causes, custom_conversions, structural_schemas

NAMES_ACCEPTED, ESTABLISHED, TERMINATING = "NamesAccepted", "Established", "Terminating"
NON_STRUCTURAL = "NonStructuralSchema"
CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")
_SINGLE = (
    ("plural", "PluralConflict", "resource"),
    ("singular", "SingularConflict", "resource"),
    ("kind", "KindConflict", "kind"),
    ("listKind", "ListKindConflict", "kind"),
)


def accepted(definition: Object) -> Object:
    """The names that a CRD holds, {} where none were accepted yet."""
    return (definition.get("status") or {}).get("acceptedNames") or {}


def held(definitions: Iterable[Object], group: str, *, besides: str) -> dict[str, set[str]]:
    """The names of a group that CRDs other than `besides` hold, in the spaces "resource" and "kind"."""
    found: dict[str, set[str]] = {"resource": set(), "kind": set()}
    for definition in definitions:
        if (definition.get("spec") or {}).get("group") != group or meta.name(definition) == besides:
            continue
        names = accepted(definition)
        found["resource"] |= {names.get("plural") or "", names.get("singular") or "", *(names.get("shortNames") or ())}
        found["kind"] |= {names.get("kind") or "", names.get("listKind") or ""}
    for space in found.values():
        space.discard("")
    return found


def status(definition: Object, taken: dict[str, set[str]], now: datetime) -> Object:
    """The status that a CRD should have where others hold the names in `taken`."""
    wanted = (definition.get("spec") or {}).get("names") or {}
    before = accepted(definition)
    names = dict(before)
    reason, message = "NoConflicts", "no conflicts found"
    for field, conflict, space in _SINGLE:
        name = wanted.get(field) or ""
        if name != (before.get(field) or "") and name in taken[space]:
            reason, message = conflict, f'"{name}" is already in use'
        else:
            names[field] = name
    shorts = wanted.get("shortNames") or []
    clashes = [s for s in shorts if s not in (before.get("shortNames") or ()) and s in taken["resource"]]
    if clashes:
        reason = "ShortNamesConflict"
        told = [f'"{short}" is already in use' for short in clashes]
        message = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    else:
        _set(names, "shortNames", shorts)
    _set(names, "categories", wanted.get("categories") or [])
    fine = reason == "NoConflicts"
    conditions = meta.with_condition(
        meta.conditions(definition),
        type_=NAMES_ACCEPTED,
        status="True" if fine else "False",
        reason=reason,
        message=message,
        now=now,
    )
    if not meta.condition_is(definition, ESTABLISHED):
        value, reason, message = _established(definition, fine=fine)
        conditions = meta.with_condition(
            conditions, type_=ESTABLISHED, status=value, reason=reason, message=message, now=now
        )
    conditions = _non_structural(definition, conditions, now)
    conditions = _approval(definition, conditions, now)
    return {**(definition.get("status") or {}), "conditions": conditions, "acceptedNames": names}


def _established(definition: Object, *, fine: bool) -> tuple[str, str, str]:
    """Status, reason and message of the condition where it is not true yet."""
    if not fine:
        return "False", "NotAccepted", "not all names are accepted"
    if custom_conversions.bundle_complaint(custom_conversions.bundle_of(definition)):
        return "False", "InvalidCABundle", "The conversion webhook CABundle is invalid"
    return "True", "InitialNamesAccepted", "the initial names have been accepted"


def _set(names: Object, field: str, values: list[str]) -> None:
    if values:
        names[field] = values
    else:
        names.pop(field, None)


def is_protected(group: str) -> bool:
    """Whether the group belongs to the Kubernetes community (KEP-1111)."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith(_PROTECTED)


def _non_structural(definition: Object, conditions: list[Object], now: datetime) -> list[Object]:
    """The condition of CRDs that were made before schemas had to be structural, while they break that rule."""
    spec = definition.get("spec") or {}
    if not spec.get("preserveUnknownFields"):
        return [each for each in conditions if each.get("type") != NON_STRUCTURAL]
    found = [causes.invalid("spec.preserveUnknownFields", True, "must be false")]
    for index, version in enumerate(spec.get("versions") or ()):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            found += structural_schemas.violations(schema, path)
    told = [f"{cause['field']}: {cause['message']}" for cause in found]
    message = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    return meta.with_condition(
        conditions, type_=NON_STRUCTURAL, status="True", reason="Violations", message=message, now=now
    )


def _approval(definition: Object, conditions: list[Object], now: datetime) -> list[Object]:
    if not is_protected((definition.get("spec") or {}).get("group") or ""):
        return conditions
    text = meta.annotations(definition).get(APPROVAL, "")
    if text.startswith("unapproved"):
        verdict = ("False", "UnapprovedAnnotation", f'not approved: "{text}"')
    elif "://" in text:
        verdict = ("True", "ApprovedAnnotation", f"approved in {text}")
    elif text:
        problem = f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason'
        verdict = ("False", "InvalidAnnotation", f'{problem} starting with "unapproved"')
    else:
        problem = f'protected groups must have approval annotation "{APPROVAL}"'
        verdict = ("False", "MissingAnnotation", f"{problem}, see https://github.com/kubernetes/enhancements/pull/1111")
    value, reason, message = verdict
    return meta.with_condition(conditions, type_=CONFORMANT, status=value, reason=reason, message=message, now=now)


def is_served(definition: Object) -> bool:
    """Whether the resources of a CRD are there: its names are its own, or once were."""
    return meta.condition_is(definition, ESTABLISHED)

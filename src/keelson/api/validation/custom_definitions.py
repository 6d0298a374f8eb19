"""The rules for CustomResourceDefinitions (apiextensions.k8s.io/v1).

What is stored may be older than a rule: an update is not refused for what the stored definition breaks already, so that
a cluster that was moved here can go on using what it has. Complaints name the fields as upstream's internal version
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import (
    causes,
    custom_conversions,
    custom_schemas,
    custom_versions,
    names,
    structural_schemas,
)
from keelson.api.validation.causes import Causes

_APPROVAL = "api-approved.kubernetes.io"
_NAMES = ("plural", "singular", "kind", "listKind")


def create(obj: Object) -> Causes:
    """A new CustomResourceDefinition."""
    out = _definition(obj, None)
    # Whether a bundle is one is told by the condition Established, and asked for once that is true.
    custom_conversions.check(out, obj.get("spec") or {}, any_bundle=True, any_review=False)
    _approval(out, obj, None)
    _preserving(out, obj, None)
    return out


def update(new: Object, old: Object) -> Causes:
    """A change of a CustomResourceDefinition: what stored objects depend on is for life once established."""
    out = _definition(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    custom_conversions.check(
        out,
        spec,
        any_bundle=custom_conversions.allows_any_bundle(old),
        any_review=custom_conversions.allows_any_review(old),
    )
    if meta.condition_is(old, "Established"):
        causes.unchanged(out, "spec.scope", spec.get("scope"), before.get("scope"))
        kind, was = (spec.get("names") or {}).get("kind"), (before.get("names") or {}).get("kind")
        causes.unchanged(out, "spec.names.kind", kind, was)
    causes.unchanged(out, "spec.group", spec.get("group"), before.get("group"))
    plural, previous = (spec.get("names") or {}).get("plural"), (before.get("names") or {}).get("plural")
    causes.unchanged(out, "spec.names.plural", plural, previous)
    _names(out, "status.acceptedNames", (new.get("status") or {}).get("acceptedNames") or {})
    _stored_versions(out, spec, old)
    _approval(out, new, old)
    _preserving(out, new, old)
    return out


def update_status(new: Object, _old: Object) -> Causes:
    """A change of the status of a CustomResourceDefinition, which a defect of its specification must not keep away."""
    out: Causes = []
    _names(out, "status.acceptedNames", (new.get("status") or {}).get("acceptedNames") or {})
    return out


def _definition(obj: Object, old: Object | None) -> Causes:
    out: Causes = []
    spec = obj.get("spec") or {}
    group, found = spec.get("group") or "", spec.get("names") or {}
    if not group:
        out.append(causes.required("spec.group"))
    elif names.dns_subdomain(group):
        out.append(causes.invalid("spec.group", group, names.dns_subdomain(group)))
    elif "." not in group:
        out.append(causes.invalid("spec.group", group, "should be a domain with at least one dot"))
    if meta.name(obj) != f"{found.get('plural')}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        out.append(causes.invalid("metadata.name", meta.name(obj), detail))
    causes.one_of(out, "spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    for field in _NAMES:
        if not found.get(field):
            out.append(causes.required(f"spec.names.{field}"))
    _names(out, "spec.names", found)
    before = (old or {}).get("spec")
    # The same versions were let in before; to look through their schemas takes longer than all else.
    if before is None or spec != before:
        _versions(out, spec, before)
    return out


def _names(out: Causes, path: str, found: Mapping[str, Any]) -> None:
    for field in _NAMES:
        text, mixed = found.get(field) or "", field.lower().endswith("kind")
        complaint = names.dns_1035_label(text.lower() if mixed else text) if text else ""
        if complaint:
            detail = f"may have mixed case, but should otherwise match: {complaint}" if mixed else complaint
            out.append(causes.invalid(f"{path}.{field}", text, detail))
    for field in ("shortNames", "categories"):
        for index, text in enumerate(found.get(field) or ()):
            if complaint := names.dns_1035_label(text):
                out.append(causes.invalid(f"{path}.{field}[{index}]", text, complaint))
    if found.get("kind") and found.get("kind") == found.get("listKind"):
        out.append(causes.invalid(f"{path}.listKind", found["listKind"], "kind and listKind may not be the same"))


def _schema_of(version: Mapping[str, Any]) -> Object | None:
    schema: Object | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return schema


def _shared(versions: list[Object], field: str) -> Any:
    """What all versions say alike of a field, None where they differ: upstream then names it as the specification's."""
    found = [version.get(field) or None for version in versions]
    return found[0] if found and all(each == found[0] for each in found) else None


def _versions(out: Causes, spec: Object, old: Object | None) -> None:
    versions: list[Object] = spec.get("versions") or []
    before = {version.get("name"): version for version in (old or {}).get("versions") or ()}
    schemas = [schema for version in before.values() if (schema := _schema_of(version)) is not None]
    # What the stored definition lacks already, its updates may go on lacking.
    required = old is None or len(schemas) == len(before)
    structural = all(structural_schemas.is_structural(schema) for schema in schemas)
    if any(custom_schemas.has_defaults(_schema_of(version)) for version in versions):
        structural = True
        if spec.get("preserveUnknownFields"):
            detail = "must be false in order to use defaults in the schema"
            out.append(causes.invalid("spec.preserveUnknownFields", True, detail))
    seen: set[str] = set()
    shared = _shared(versions, "schema")
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        if complaint := names.dns_1035_label(name):
            out.append(causes.invalid(f"{path}.name", name, complaint))
        seen.add(name)
        schema = _schema_of(version)
        if schema is None:
            if required:
                out.append(causes.required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
        elif shared is None or index == 0:
            former = before.get(name)
            of_status = [version] if shared is None else versions
            out += custom_schemas.check(
                f"{path if shared is None else 'spec'}.{'schema' if shared is None else 'validation'}.openAPIV3Schema",
                schema,
                has_status=any("status" in (each.get("subresources") or {}) for each in of_status),
                old=_schema_of(former) if former is not None else None,
                structural=structural,
            )
    for index, version in enumerate(versions):
        custom_versions.deprecation(out, f"spec.versions[{index}].deprecationWarning", version)
        for field, check in custom_versions.DETAILS:
            alike = _shared(versions, field) is not None
            if not alike or index == 0:
                former = before.get(version.get("name"))
                check(out, f"spec.{field}" if alike else f"spec.versions[{index}].{field}", version, former)
    shown = [version.get("name") for version in versions]
    if len(seen) != len(versions):
        out.append(causes.invalid("spec.versions", shown, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        out.append(causes.invalid("spec.versions", shown, detail))


def _stored_versions(out: Causes, spec: Object, old: Object) -> None:
    served = {version.get("name") for version in spec.get("versions") or ()}
    for index, name in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if name not in served:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            out.append(causes.invalid(f"status.storedVersions[{index}]", name, detail))


def _state(obj: Object) -> str:
    """What the annotation says of who approved the API (KEP-1111)."""
    text = meta.annotations(obj).get(_APPROVAL, "")
    if not text:
        return "missing"
    if text.startswith("unapproved"):
        return "bypassed"
    return "approved" if "://" in text else "invalid"


def _approval(out: Causes, obj: Object, old: Object | None) -> None:
    """A CRD in a group of the community says who approved it."""
    group = (obj.get("spec") or {}).get("group") or ""
    if group not in ("k8s.io", "kubernetes.io") and not group.endswith((".k8s.io", ".kubernetes.io")):
        return
    state = _state(obj)
    if old is not None and state == _state(old):
        return
    path = f"metadata.annotations[{_APPROVAL}]"
    detail = f'protected groups must have approval annotation "{_APPROVAL}"'
    if state == "missing":
        out.append(causes.required(path, f"{detail}, see https://github.com/kubernetes/enhancements/pull/1111"))
    elif state == "invalid":
        text = meta.annotations(obj)[_APPROVAL]
        out.append(causes.invalid(path, text, f'{detail} with either a URL or a reason starting with "unapproved"'))


def _preserving(out: Causes, obj: Object, old: Object | None) -> None:
    """spec.preserveUnknownFields, which only older definitions may have."""
    if (old or {}).get("spec", {}).get("preserveUnknownFields"):
        return
    if (obj.get("spec") or {}).get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        out.append(causes.invalid("spec.preserveUnknownFields", True, detail))

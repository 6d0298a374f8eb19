"""The rules for what extends the API: CRDs and API services."""

from __future__ import annotations

import re

from keelson.api import meta, regexes
from keelson.api.meta import Object
from keelson.api.validation import causes, custom_conversions, custom_versions, names, rules
from keelson.api.validation.causes import Causes

_SCHEMA_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_VERSION = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
# What a structural schema may not hold (apiextensions.k8s.io/v1, JSONSchemaProps).
_FORBIDDEN = ("$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems")


def create_definition(obj: Object) -> Causes:
    """A new CustomResourceDefinition."""
    out = _definition(obj)
    # Whether a bundle is one is told by the condition Established, and asked for once that is true.
    custom_conversions.check(out, obj.get("spec") or {}, any_bundle=True, any_review=False)
    custom_versions.approval(out, obj, (obj.get("spec") or {}).get("group") or "")
    return out


def _definition(obj: Object) -> Causes:
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
    for field in ("plural", "singular", "kind", "listKind"):
        text = found.get(field) or ""
        if not text:
            out.append(causes.required(f"spec.names.{field}"))
        elif names.dns_1035_label(text.lower()):
            out.append(causes.invalid(f"spec.names.{field}", text, names.dns_1035_label(text.lower())))
    for index, short in enumerate(found.get("shortNames") or ()):
        if names.dns_1035_label(short):
            out.append(causes.invalid(f"spec.names.shortNames[{index}]", short, names.dns_1035_label(short)))
    if found.get("kind") and found.get("kind") == found.get("listKind"):
        detail = "kind and listKind may not be the same"
        out.append(causes.invalid("spec.names.listKind", found["listKind"], detail))
    _versions(out, spec)
    return out


def _versions(out: Causes, spec: Object) -> None:
    versions = spec.get("versions") or []
    stored = [version.get("name") for version in versions if version.get("storage")]
    if len(stored) != 1:
        detail = "must have exactly one version marked as storage version"
        out.append(causes.invalid("spec.versions", [v.get("name") for v in versions], detail))
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = version.get("name") or ""
        if not _VERSION.fullmatch(name) or len(name) > 63:
            out.append(causes.invalid(f"{path}.name", name, names.dns_1035_label(name) or "must be a version"))
        elif name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        seen.add(name)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        where = f"{path}.schema.openAPIV3Schema"
        if schema is None:
            out.append(causes.required(where, "schemas are required"))
        elif spec.get("preserveUnknownFields"):
            detail = "must be false in order to use defaults in the schema"
            out.append(causes.invalid("spec.preserveUnknownFields", True, detail))
        else:
            if schema.get("type") != "object":
                out.append(causes.invalid(f"{where}.type", schema.get("type"), "must be object"))
            before = len(out)
            _structural(out, where, schema, root=True)
            if len(out) == before:
                out.extend(rules.check(where, schema))
                custom_versions.details(out, path, version)
        scale = (version.get("subresources") or {}).get("scale")
        if scale is not None:
            for field, base in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
                text = scale.get(field) or ""
                if not text.startswith(base):
                    detail = f"should be a json path under {base.rstrip('.')}"
                    out.append(causes.invalid(f"{path}.subresources.scale.{field}", text, detail))


def _structural(out: Causes, path: str, schema: Object, *, root: bool = False) -> None:
    """A schema that says of every value what it is, outside of all logic ("structural schemas")."""
    kind = schema.get("type") or ""
    anything = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if not kind and not anything and not root:
        out.append(causes.required(f"{path}.type", "must not be empty for specified object fields"))
    elif kind and kind not in _SCHEMA_TYPES:
        out.append(causes.unsupported(f"{path}.type", kind, _SCHEMA_TYPES))
    for field in _FORBIDDEN:
        if schema.get(field):
            out.append(causes.forbidden(f"{path}.{field}", f"{field} is not supported"))
    if schema.get("uniqueItems"):
        out.append(
            causes.forbidden(
                f"{path}.uniqueItems",
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            )
        )
    if schema.get("properties") and schema.get("additionalProperties") not in (None, False):
        detail = "additionalProperties and properties are mutual exclusive"
        out.append(causes.forbidden(f"{path}.additionalProperties", detail))
    pattern = schema.get("pattern")
    if pattern:
        try:
            regexes.compile(pattern)
        except regexes.PatternError as error:
            out.append(
                causes.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")
            )
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") == "map":
        if not keys:
            detail = "must not be empty if x-kubernetes-list-type is map"
            out.append(causes.required(f"{path}.x-kubernetes-list-map-keys", detail))
    elif keys:
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        out.append(causes.invalid(f"{path}.x-kubernetes-list-type", schema.get("x-kubernetes-list-type"), detail))
    if kind == "array" and not isinstance(schema.get("items"), dict):
        out.append(causes.required(f"{path}.items", "must be specified"))
    for key, child in (schema.get("properties") or {}).items():
        if not (root and key in ("apiVersion", "kind", "metadata")):
            _structural(out, f"{path}.properties[{key}]", child)
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            _structural(out, f"{path}.{field}", schema[field])


def update_definition(new: Object, old: Object) -> Causes:
    """A change of a CustomResourceDefinition: what stored objects depend on is for life once established."""
    out = _definition(new)
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
    served = {version.get("name") for version in spec.get("versions") or ()}
    for index, name in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if name not in served:
            detail = "must appear in spec.versions"
            out.append(causes.invalid(f"status.storedVersions[{index}]", name, detail))
    return out


def create_api_service(obj: Object) -> Causes:
    """An APIService."""
    out: Causes = []
    spec = obj.get("spec") or {}
    wanted = f"{spec.get('version', '')}.{spec.get('group', '')}"
    if meta.name(obj) != wanted:
        detail = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        out.append(causes.invalid("metadata.name", meta.name(obj), detail))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            out.append(causes.invalid(f"spec.{field}", value, f"must be positive and less than {most}"))
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            detail = "local APIServices may not have a caBundle"
            out.append(causes.invalid("spec.caBundle", spec["caBundle"], detail))
        if spec.get("insecureSkipTLSVerify"):
            detail = "local APIServices may not have insecureSkipTLSVerify"
            out.append(causes.invalid("spec.insecureSkipTLSVerify", True, detail))
        return out
    for field in ("namespace", "name"):
        if not service.get(field):
            out.append(causes.required(f"spec.service.{field}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        detail = "may not be true if caBundle is present"
        out.append(causes.invalid("spec.insecureSkipTLSVerify", True, detail))
    return out


CREATE = {
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): create_definition,
    ("apiregistration.k8s.io/v1", "APIService"): create_api_service,
}
UPDATE = {("apiextensions.k8s.io/v1", "CustomResourceDefinition", ""): update_definition}

"""The rules for one version of a CRD beside its schema's structure: columns, selectable fields, defaults, metadata.

Sources: apiextensions.k8s.io/v1 CustomResourceDefinitionVersion; KEP-4358 for selectable fields; KEP-1111 for groups
that belong to the Kubernetes community.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from keelson.api import conformance, meta
from keelson.api.meta import Object
from keelson.api.schemas import structural
from keelson.api.tables import paths
from keelson.api.validation import causes
from keelson.api.validation import structural as structural_values
from keelson.api.validation.causes import Causes

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password", "binary")
_MOST_FIELDS = 8
_FIELD = re.compile(r"(\.[A-Za-z_][A-Za-z0-9_-]*)+")
_SELECTABLE = ("boolean", "integer", "string")
_METADATA_FIELDS = ("generateName", "name")
_APPROVAL = "api-approved.kubernetes.io"


def approval(out: Causes, obj: Object, group: str) -> None:
    """A CRD in a group of the community says who approved it."""
    if group not in ("k8s.io", "kubernetes.io") and not group.endswith((".k8s.io", ".kubernetes.io")):
        return
    path = f"metadata.annotations[{_APPROVAL}]"
    text = meta.annotations(obj).get(_APPROVAL, "")
    if not text:
        detail = f'protected groups must have approval annotation "{_APPROVAL}"'
        out.append(causes.required(path, f"{detail}, see https://github.com/kubernetes/enhancements/pull/1111"))
    elif not text.startswith("unapproved") and "://" not in text:
        detail = f'protected groups must have approval annotation "{_APPROVAL}" with either a URL or a reason'
        out.append(causes.invalid(path, text, f'{detail} starting with "unapproved"'))


def details(out: Causes, path: str, version: Mapping[str, Any]) -> None:
    """Everything about a version that its schema's structure does not say."""
    schema = version["schema"]["openAPIV3Schema"]
    _columns(out, f"{path}.additionalPrinterColumns", version.get("additionalPrinterColumns") or [])
    _fields(out, f"{path}.selectableFields", version.get("selectableFields") or [], schema)
    where = f"{path}.schema.openAPIV3Schema"
    metadata = (schema.get("properties") or {}).get("metadata") or {}
    for name in metadata.get("properties") or {}:
        if name not in _METADATA_FIELDS:
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            out.append(causes.forbidden(f"{where}.properties[metadata]", detail))
            break
    if "default" in schema:
        out.append(causes.forbidden(f"{where}.default", "must not be set at the root"))
    _defaults(out, where, schema)


def _columns(out: Causes, path: str, columns: list[Object]) -> None:
    for index, column in enumerate(columns):
        where = f"{path}[{index}]"
        if not column.get("name"):
            out.append(causes.required(f"{where}.name"))
        kind = column.get("type") or ""
        if not kind:
            listed = ",".join(_COLUMN_TYPES)
            out.append(causes.required(f"{where}.type", f"must be one of {listed}"))
        elif kind not in _COLUMN_TYPES:
            listed = ",".join(_COLUMN_TYPES)
            out.append(causes.invalid(f"{where}.type", kind, f"must be one of {listed}"))
        form = column.get("format") or ""
        if form and form not in _COLUMN_FORMATS:
            out.append(causes.invalid(f"{where}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        text = column.get("jsonPath") or ""
        if not text:
            out.append(causes.required(f"{where}.jsonPath"))
            continue
        try:
            paths.compile_path(text)
        except paths.PathError as error:
            out.append(causes.invalid(f"{where}.jsonPath", text, str(error)))


def _fields(out: Causes, path: str, fields: list[Object], schema: Mapping[str, Any]) -> None:
    if len(fields) > _MOST_FIELDS:
        out.append(causes.too_many(path, len(fields), _MOST_FIELDS))
    seen: set[str] = set()
    for index, field in enumerate(fields):
        where, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            out.append(causes.required(where))
            continue
        if text in seen:
            out.append(causes.duplicate(where, text))
        seen.add(text)
        if not _FIELD.fullmatch(text):
            out.append(causes.invalid(where, text, "is an invalid path: only field names and dots are supported"))
            continue
        if text.startswith(".metadata"):
            out.append(causes.invalid(where, text, "must not point to fields in metadata"))
            continue
        node: Any = schema
        for name in text.split(".")[1:]:
            node = (node.get("properties") or {}).get(name) or {}
        if node.get("type") not in _SELECTABLE:
            detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with "
            out.append(causes.invalid(where, text, f"{detail}formats are allowed."))


def _defaults(out: Causes, path: str, node: Mapping[str, Any]) -> None:
    """A default must be something that its own schema accepts."""
    if "default" in node:
        schema = structural(node, root=False)
        value = copy.deepcopy(node["default"])
        if conformance.prune(value, schema):
            out.append(causes.invalid(f"{path}.default", node["default"], "must not have unknown fields"))
        judged = structural_values.value_causes(schema, value, f"{path}.default")
        out.extend(judged)
    for key, child in (node.get("properties") or {}).items():
        if isinstance(child, Mapping):
            _defaults(out, f"{path}.properties[{key}]", child)
    for field in ("items", "additionalProperties"):
        if isinstance(node.get(field), Mapping):
            _defaults(out, f"{path}.{field}", node[field])

"""The rules for one version of a CRD beside its schema: columns, selectable fields, subresources, deprecation.

Sources: apiextensions.k8s.io/v1 CustomResourceDefinitionVersion; KEP-4358 for selectable fields. Complaints name the
fields as upstream's internal version does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from keelson.api.validation import causes
from keelson.api.validation.causes import Causes

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MOST_FIELDS = 8
_FIELD = re.compile(r"(\.[A-Za-z_][A-Za-z0-9_-]*)+")
_SELECTABLE = ("boolean", "integer", "string")
_MOST_WARNING = 256
_Version = Mapping[str, Any]


def deprecation(out: Causes, path: str, version: _Version) -> None:
    """The warning of a deprecated version."""
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        out.append(causes.invalid(path, warning, "can only be set for deprecated versions"))
        return
    if len(warning.encode()) > _MOST_WARNING:
        out.append(causes.invalid(path, warning, f"must be <= {_MOST_WARNING} characters long"))
    if not warning:
        out.append(causes.invalid(path, warning, "must not be an empty string"))
    for index, character in enumerate(warning):
        if not character.isprintable():
            detail = "must only contain printable UTF-8 characters; non-printable character found at index"
            out.append(causes.invalid(path, warning, f"{detail} {index}"))
            break


def _subresources(out: Causes, path: str, version: _Version, _old: _Version | None) -> None:
    """The paths of the scale subresource: below spec, below status, below either."""
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for field, bases, where in (
        ("specReplicasPath", (".spec.",), ".spec"),
        ("statusReplicasPath", (".status.",), ".status"),
        ("labelSelectorPath", (".spec.", ".status."), "either .spec or .status"),
    ):
        text, named = scale.get(field) or "", f"{path}.scale.{field}"
        if not text:
            if field != "labelSelectorPath":
                out.append(causes.required(named))
        elif not text.startswith("."):
            out.append(causes.invalid(named, text, "must be a simple json path starting with ."))
        elif not text.startswith(bases):
            out.append(causes.invalid(named, text, f"should be a json path under {where}"))


def _columns(out: Causes, path: str, version: _Version, _old: _Version | None) -> None:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
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
            out.append(causes.required(f"{where}.JSONPath"))
        elif not text.startswith("."):
            out.append(causes.invalid(f"{where}.JSONPath", text, "must be a simple json path starting with ."))


def _fields(out: Causes, path: str, version: _Version, old: _Version | None) -> None:
    fields = version.get("selectableFields") or []
    # Those that were let in before there was a limit may stay.
    any_number = old is not None and fields == (old.get("selectableFields") or [])
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    seen: set[str] = set()
    for index, field in enumerate(fields):
        where, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            out.append(causes.required(where))
            continue
        if not _FIELD.fullmatch(text):
            out.append(causes.invalid(where, text, "is an invalid path: only field names and dots are supported"))
            continue
        node: Any = schema
        for name in text.split(".")[1:]:
            node = (node.get("properties") or {}).get(name) if node is not None else None
        in_metadata = text.startswith(".metadata.")
        if node is None and not in_metadata:
            out.append(causes.invalid(where, text, "is an invalid path: does not refer to a valid field"))
            continue
        if in_metadata:
            out.append(causes.invalid(where, text, "must not point to fields in metadata"))
        elif node.get("type") not in _SELECTABLE:
            detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with "
            out.append(causes.invalid(where, text, f"{detail}formats are allowed."))
        if text in seen:
            out.append(causes.duplicate(where, text))
        seen.add(text)
    if len(seen) > _MOST_FIELDS and not any_number:
        out.append(causes.too_many(path, len(seen), _MOST_FIELDS))


DETAILS: tuple[tuple[str, Callable[[Causes, str, _Version, _Version | None], None]], ...] = (
    ("subresources", _subresources),
    ("additionalPrinterColumns", _columns),
    ("selectableFields", _fields),
)
"""The fields of a version and what judges each: it gets the field's path, the version, and that before an update."""

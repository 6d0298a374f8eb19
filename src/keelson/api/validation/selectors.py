"""The rules for label selectors in specs (metav1.LabelSelector)."""

from __future__ import annotations

from typing import Any

from keelson.api.validation import causes, names
from keelson.api.validation.causes import Causes
from keelson.api.validation.object_metadata import label_map

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def label_selector(out: Causes, path: str, selector: dict[str, Any] | None) -> None:
    """A LabelSelector; absent is fine."""
    if not selector:
        return
    if selector.get("matchLabels"):
        label_map(out, f"{path}.matchLabels", selector["matchLabels"])
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator = expression.get("operator") or ""
        values = expression.get("values") or []
        if operator not in _OPERATORS:
            out.append(causes.invalid(f"{where}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            out.append(causes.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            out.append(causes.forbidden(f"{where}.values", detail))
        complaint = names.qualified_name(expression.get("key") or "")
        if complaint:
            out.append(causes.invalid(f"{where}.key", expression.get("key") or "", complaint))
        for number, value in enumerate(values):
            complaint = names.label_value(value)
            if complaint:
                out.append(causes.invalid(f"{where}.values[{number}]", value, complaint))


def is_empty(selector: dict[str, Any] | None) -> bool:
    """Whether the selector selects everything."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))

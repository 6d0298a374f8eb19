"""What is wrong with a field, in the words of the API: the causes of a 422.

The reasons are metav1.CauseType, the messages those of upstream's field errors, which clients and tests match on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from keelson.api.errors import cause

Cause = dict[str, str]
Causes = list[Cause]

IMMUTABLE = "field is immutable"


def shown(value: Any) -> str:
    """The value as messages show it: JSON, on one line."""
    return "null" if value is None else orjson.dumps(value, default=str).decode()


def required(path: str, detail: str = "") -> Cause:
    """The field must be given."""
    return cause(path, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(path: str, value: Any, detail: str) -> Cause:
    """The value breaks a rule that `detail` states."""
    return cause(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def immutable(path: str, value: Any) -> Cause:
    """The value differs from the stored one and may not."""
    return invalid(path, value, IMMUTABLE)


def wrong_type(path: str, found: Any, detail: str) -> Cause:
    """The value has another JSON type than its schema says."""
    return cause(path, "FieldValueTypeInvalid", f"Invalid value: {shown(found)}: {detail}")


def unsupported(path: str, value: Any, supported: Iterable[str], *, ordered: bool = False) -> Cause:
    """The value is none of an enumeration's, whose values are told in their order where they are `ordered`."""
    listed = ", ".join(f'"{item}"' for item in (supported if ordered else sorted(supported)))
    return cause(path, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {listed}")


def duplicate(path: str, value: Any) -> Cause:
    """The value occurs twice where it may occur once."""
    return cause(path, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def forbidden(path: str, detail: str) -> Cause:
    """The field may not be set, or not so, in this situation."""
    return cause(path, "FieldValueForbidden", f"Forbidden: {detail}")


def not_found(path: str, value: Any) -> Cause:
    """The value names something that the object does not have."""
    return cause(path, "FieldValueNotFound", f"Not found: {shown(value)}")


def too_long(path: str, limit: int) -> Cause:
    """The value has more bytes than the limit."""
    return cause(path, "FieldValueTooLong", f"Too long: may not be more than {limit} byte{'s' * (limit != 1)}")


def too_many(path: str, count: int, limit: int) -> Cause:
    """The list or map has more items than the limit."""
    return cause(path, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} item{'s' * (limit != 1)}")


def one_of(out: Causes, path: str, value: Any, supported: Iterable[str]) -> None:
    """Appends a cause where a value is absent or none of an enumeration's."""
    if value in supported:
        return
    out.append(unsupported(path, value, supported) if value else required(path))


def non_negative(out: Causes, path: str, value: Any) -> None:
    """Appends a cause where a number is below zero; absent is fine."""
    if value is not None and value < 0:
        out.append(invalid(path, value, "must be greater than or equal to 0"))


def unchanged(out: Causes, path: str, new: Any, old: Any) -> None:
    """Appends a cause where an immutable field changed."""
    if new != old:
        out.append(immutable(path, new))

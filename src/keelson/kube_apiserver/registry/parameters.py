"""What a request's query says, read and refused in upstream's words.

Upstream decodes the query of each verb into an options kind of meta.k8s.io (ListOptions, CreateOptions, …) and checks
that; clients show what comes of it, and some act on it. Sources: metav1's options kinds, API concepts ("Resource
versions", "Dry-run", "Field validation").
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from keelson.api import errors
from keelson.kube_apiserver.serving.messages import Request

_GROUP = "meta.k8s.io"
_MOST_MANAGER = 128
_VALIDATION = ("Ignore", "Warn", "Strict")
APPLY_TYPES = frozenset({"application/apply-patch+yaml", "application/apply-patch+cbor"})
_WRITES = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


def flag(request: Request, name: str) -> bool:
    """A boolean: whatever is not "0" or "false" says yes, even nothing at all, as Go's conversion of queries has it."""
    found = request.query.get(name) if request.query_string else None
    return found is not None and found[0] != "0" and found[0].lower() != "false"


def unsupported(field: str, value: object, supported: Sequence[str]) -> dict[str, str]:
    """The cause of a value that is none of those that there are (field.NotSupported)."""
    shown = orjson.dumps(value).decode()
    offered = ", ".join(f'"{each}"' for each in supported)
    message = f"Unsupported value: {shown}: supported values: {offered}"
    return errors.cause(field, "FieldValueNotSupported", message)


def forbidden(field: str, why: str) -> dict[str, str]:
    """The cause of a field that must not be there (field.Forbidden)."""
    return errors.cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def refuse(kind: str, causes: Sequence[dict[str, str]]) -> None:
    """Raise StatusError 422 for options of this kind, where there are causes."""
    if causes:
        raise errors.invalid(kind, "", causes, group=_GROUP)


def dry_run_causes(values: Sequence[str]) -> list[dict[str, str]]:
    """What is wrong with the stages of a dry run; it has one."""
    return [unsupported("dryRun", list(values), ("All",))] if any(value != "All" for value in values) else []


def check_write(request: Request, verb: str) -> None:
    """Check what a writing request's query states beside the object. Raises StatusError 422.

    For a deletion this is dryRun alone; what else its query may state is DeleteOptions' to check.
    """
    kind = _WRITES.get(verb)
    if kind is None:
        if verb in ("delete", "deletecollection"):
            refuse("DeleteOptions", dry_run_causes(request.query.get("dryRun", [])))
        return
    causes: list[dict[str, str]] = []
    manager = request.parameter("fieldManager")
    if verb == "patch":
        applies = request.headers.get("content-type", "").partition(";")[0].strip().lower() in APPLY_TYPES
        if applies and not manager:
            causes.append(
                errors.cause("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
            )
        if not applies and "force" in request.query:
            causes.append(forbidden("force", "may not be specified for non-apply patch"))
    causes += _manager_causes(manager)
    causes += dry_run_causes(request.query.get("dryRun", []))
    validation = request.parameter("fieldValidation")
    if validation and validation not in _VALIDATION:
        causes.append(unsupported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    refuse(kind, causes)


def _manager_causes(manager: str) -> list[dict[str, str]]:
    causes: list[dict[str, str]] = []
    if len(manager.encode("utf-8", "surrogatepass")) > _MOST_MANAGER:
        message = f"Too long: may not be more than {_MOST_MANAGER} bytes"
        causes.append(errors.cause("fieldManager", "FieldValueTooLong", message))
    for place, char in enumerate(manager):
        if not char.isprintable():
            at = len(manager[:place].encode("utf-8", "surrogatepass"))
            message = f"Invalid value: {_quoted(manager)}: invalid character U+{ord(char):04X} (at position {at})"
            causes.append(errors.cause("fieldManager", "FieldValueInvalid", message))
            break
    return causes


def _quoted(text: str) -> str:
    """Text in quotes as Go's %q writes it."""
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    parts = []
    for char in text:
        code = ord(char)
        if char in named:
            parts.append(named[char])
        elif char.isprintable():
            parts.append(char)
        else:
            parts.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(parts) + '"'


def check_list(*, match: str, version: str, continued: bool, initial: bool, watch: bool) -> None:
    """Check that a list's or watch's options go together. Raises StatusError 422.

    They are resourceVersionMatch, resourceVersion, and whether continue and sendInitialEvents are there.
    """
    # What a watch begins with, where it says nothing of that: as sendInitialEvents does, and thus without continue.
    begins = watch and not match and not initial and version in ("", "0")
    if not match and not initial and not (begins and continued):
        return
    field = "resourceVersionMatch"
    causes: list[dict[str, str]] = []
    if watch:
        if initial and match != "NotOlderThan":
            causes.append(forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        if match and not initial:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            causes.append(forbidden(field, why))
        if match and match != "NotOlderThan":
            causes.append(unsupported(field, match, ("NotOlderThan",)))
        if (match or begins) and continued:
            causes.append(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
        refuse("ListOptions", causes)
        return
    if match:
        if not version:
            causes.append(forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if continued:
            causes.append(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            causes.append(unsupported(field, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            causes.append(forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if initial:
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    refuse("ListOptions", causes)

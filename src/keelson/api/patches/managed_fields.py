"""metadata.managedFields: who owns which field, kept up by every write.

An entry belongs to a manager, an operation (Apply or Update), a subresource and, for Update, an apiVersion. A write
takes what it changes from all others. Entries are plain API values; this module never changes one in place.
Rules: KEP-555 ("Field management"), API reference ManagedFieldsEntry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from keelson.api import meta
from keelson.api.patches import field_sets, typed_values
from keelson.api.patches.field_sets import EMPTY, LEAF, Node
from keelson.api.patches.typed_values import Comparison
from keelson.api.schemas import Schema

APPLY, UPDATE = "Apply", "Update"

# More managers by Update than this are folded together, oldest first, so that the list stays bounded.
MAX_UPDATERS = 10
ANCIENT = "ancient-changes"
MAX_MANAGER_LENGTH = 128

# Fields that identify an object or that the server alone writes are owned by nobody.
_UNOWNED_METADATA = frozenset(
    {
        "clusterName",
        "creationTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)

Entry = dict[str, Any]


class Owner(NamedTuple):
    """One entry. `time` is RFC 3339 text, "" where the entry has none."""

    manager: str
    operation: str
    api_version: str
    fields: Node
    time: str = ""
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells entries apart; an applier keeps one entry across versions."""
        return (self.manager, self.operation, self.subresource, self.api_version if self.operation == UPDATE else "")

    def entry(self) -> Entry:
        """The ManagedFieldsEntry."""
        entry: Entry = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        if self.time:
            entry["time"] = self.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = self.fields
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry

    def described(self) -> str:
        """The owner as conflicts name it."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


class Versions(NamedTuple):
    """The versions of a kind whose fields may lie elsewhere in each: what an owner owns is said in the owner's version.

    `schemas` are by API version; an owner in one that is not among them owns nothing any more. `convert` brings an
    object to another version and leaves its argument alone.
    """

    schemas: Mapping[str, Schema]
    convert: Callable[[Mapping[str, Any], str], Mapping[str, Any]]


class Comparisons:
    """How two states of an object differ, in the request's version and, where owners ask, in others."""

    def __init__(
        self,
        schema: Schema,
        api_version: str,
        versions: Versions | None,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:
        self._versions = versions
        self._old = old
        self._new = new
        self._found: dict[str, Comparison | None] = {
            api_version: _compared(schema, old, new),
        }
        self._own = api_version

    @property
    def own(self) -> Comparison:
        """In the request's version."""
        found = self._found[self._own]
        assert found is not None
        return found

    def of(self, api_version: str) -> Comparison | None:
        """In a version; None where there is no such version."""
        if api_version in self._found:
            return self._found[api_version]
        if self._versions is None:
            return self.own
        schema = self._versions.schemas.get(api_version)
        found = None
        if schema is not None:
            old, new = (self._versions.convert(each, api_version) if each else each for each in (self._old, self._new))
            found = _compared(schema, old, new)
        self._found[api_version] = found
        return found


def _compared(schema: Schema, old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    # Nobody owns the metadata themselves, so they are in every object.
    one, other = ({"metadata": {}, **bare(each)} for each in (old, new))
    return typed_values.compare(schema, one, other)


def manager_of(user_agent: str) -> str:
    """The manager's name where a request states none: what its User-Agent has before the first slash."""
    name = user_agent.partition("/")[0][:MAX_MANAGER_LENGTH]
    return name if name.isprintable() and name else "unknown"


def owners(entries: Iterable[Mapping[str, Any]]) -> list[Owner]:
    """The owners that stored entries state."""
    return [
        Owner(
            entry.get("manager") or "",
            entry.get("operation") or UPDATE,
            entry.get("apiVersion") or "",
            entry.get("fieldsV1") or EMPTY,
            entry.get("time") or "",
            entry.get("subresource") or "",
        )
        for entry in entries
    ]


def bare(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what nobody owns: apiVersion, kind, identity and the server's own metadata."""
    result = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}
    metadata = result.get("metadata")
    if isinstance(metadata, dict):
        owned = {key: value for key, value in metadata.items() if key not in _UNOWNED_METADATA}
        # Metadata that only identifies would else count as an empty mapping that somebody states.
        if owned:
            result["metadata"] = owned
        else:
            del result["metadata"]
    return result


def encode(found: Iterable[Owner]) -> list[Entry]:
    """The entries to store, in upstream's order; owners of nothing are left out."""
    kept = [owner for owner in found if owner.fields]
    kept.sort(key=lambda o: (o.operation, o.time, o.manager, o.api_version, o.subresource))
    return [owner.entry() for owner in kept]


def is_reset(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a client asks to forget all ownership: a list of none, or of one empty entry."""
    return not entries or (len(entries) == 1 and not entries[0])


def _stated(live: Mapping[str, Any], new: Mapping[str, Any], *, subresource: str) -> list[Owner] | None:
    """The owners before the write; None where the client resets them.

    A client may edit the list directly, except through a subresource; where it sends none, or a broken one, the stored
    list stands, so that clients that don't know the field can't lose it.
    """
    before = meta.metadata(live).get("managedFields") or []
    sent = meta.metadata(new).get("managedFields")
    if subresource or sent is None or sent == before:
        return owners(before)
    if is_reset(sent):
        return None
    try:
        return [owner._replace(fields=field_sets.checked(owner.fields)) for owner in _checked(sent)]
    except field_sets.FieldSetError:
        return owners(before)


def _checked(entries: Sequence[Mapping[str, Any]]) -> list[Owner]:
    for entry in entries:
        if entry.get("operation") not in {APPLY, UPDATE} or entry.get("fieldsType") != "FieldsV1":
            raise field_sets.FieldSetError("an entry needs an operation and fieldsType FieldsV1")
        if len(entry.get("manager") or "") > MAX_MANAGER_LENGTH:
            raise field_sets.FieldSetError("an entry's manager is too long")
    # Who was renamed may now be who was there already; upstream takes the last.
    merged = {owner.identity: owner for owner in owners(entries)}
    return list(merged.values())


def update(
    schema: Schema,
    live: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    *,
    manager: str,
    api_version: str,
    now: datetime,
    subresource: str = "",
    versions: Versions | None = None,
    reset: Node = EMPTY,
    empty: Mapping[str, Any] = MappingProxyType({}),
) -> list[Entry]:
    """The managedFields of `new`, written by anything but apply: create (`live` is None), update, the other patches.

    `reset` are fields that this endpoint does not write, so that nobody owns them by it. `empty` is what a new object
    is compared with: what every object has is set by nobody (`zeros.of`).
    `now` becomes the entry's time only where the write changed a field. An object that has been written without
    ownership (by an older server) stays without until it is applied, as upstream leaves it.
    """
    before = empty if live is None else live
    known = _stated(before, new, subresource=subresource)
    if live is not None and not known:
        return []
    # A new object has nobody to forget.
    known = known or []
    comparisons = Comparisons(schema, api_version, versions, before, new)
    comparison = comparisons.own
    changed = field_sets.union(comparison.modified, comparison.added)
    if not changed and not comparison.removed:
        return encode(known)
    mine = Owner(manager, UPDATE, api_version, EMPTY, meta.format_time(now), subresource)
    kept: list[Owner] = []
    for owner in lose(known, comparisons):
        if owner.identity == mine.identity:
            # A write that only removes leaves the manager's time alone.
            mine = mine._replace(fields=owner.fields, time=mine.time if changed else owner.time)
        else:
            kept.append(owner)
    fields = field_sets.union(mine.fields, changed)
    mine = mine._replace(fields=field_sets.ordered(field_sets.without(fields, reset) if reset else fields))
    return encode(_capped([*kept, mine] if mine.fields else kept))


def lose(found: Iterable[Owner], comparisons: Comparisons) -> list[Owner]:
    """The owners without what has changed or gone; an owner that keeps all is the same object."""
    result: list[Owner] = []
    for owner in found:
        comparison = comparisons.of(owner.api_version)
        if comparison is None:
            continue
        touched = field_sets.union(field_sets.union(comparison.modified, comparison.added), comparison.removed)
        left = field_sets.difference(owner.fields, touched)
        result.append(owner if left is owner.fields else owner._replace(fields=left))
    return result


def _capped(found: list[Owner]) -> list[Owner]:
    updaters = sorted((o for o in found if o.operation == UPDATE and o.fields), key=lambda o: (o.time, o.manager))
    excess = len(updaters) - MAX_UPDATERS
    if excess <= 0:
        return found
    result = list(found)
    first_of: dict[str, Owner] = {}
    for owner in updaters:
        if excess <= 0:
            break
        first = first_of.get(owner.api_version)
        if first is None:
            first_of[owner.api_version] = owner
            continue
        bucket = Owner(ANCIENT, UPDATE, owner.api_version, field_sets.union(first.fields, owner.fields), owner.time)
        result = [each for each in result if each is not first and each is not owner]
        result.append(bucket)
        first_of[owner.api_version] = bucket
        excess -= 1
    return result


def differ_in_times_only(entries: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of entries say the same, but for when."""

    def timeless(found: Sequence[Mapping[str, Any]]) -> list[Owner]:
        return sorted((owner._replace(time="") for owner in owners(found)), key=lambda owner: owner.identity)

    return entries != others and len(entries) == len(others) and timeless(entries) == timeless(others)


def set_on(obj: dict[str, Any], entries: list[Entry]) -> None:
    """Put the entries into an object that is the caller's own; an empty list removes the field."""
    metadata = obj.setdefault("metadata", {})
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)


def reset_fields(*dotted: str) -> Node:
    """The set of whole fields such as "status" or "metadata.labels", which a subresource does not write."""
    result: Node = EMPTY
    for path in dotted:
        node: Node = LEAF
        for name in reversed(path.split(".")):
            node = {f"f:{name}": node}
        result = field_sets.union(result, node)
    return result

"""Server-side apply: a configuration states the fields that its manager wants, and the server keeps who owns what.

The configuration is merged into the live object; fields that the manager applied before and states no longer are
removed unless somebody else owns them; a field that it would change under another owner is a conflict, which `force`
takes over.
Rules: KEP-555, API concepts ("Server-Side Apply"); messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from keelson.api import errors, meta
from keelson.api.patches import field_sets, managed_fields, typed_values
from keelson.api.patches.field_sets import EMPTY, Node
from keelson.api.patches.managed_fields import APPLY, UPDATE, Comparisons, Owner, Versions
from keelson.api.schemas import Schema

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"
# The manager under which kubectl applies; only for it does the client-side annotation count.
KUBECTL = "kubectl"
# Annotations of one object together may not be larger (API conventions); a copy that would be is left out.
_MAX_ANNOTATIONS = 256 * 1024


class ApplyConflict(errors.StatusError):
    """409: fields are owned by others and would change. `fields` are those fields, for the upgrade from kubectl."""

    def __init__(self, conflicts: list[tuple[Owner, Node]]) -> None:
        in_order = sorted(
            conflicts, key=lambda each: (each[0].manager, each[0].operation, each[0].api_version, each[0].subresource)
        )
        named = [
            (owner.described(), field_sets.text(path))
            for owner, fields in in_order
            for path in field_sets.paths(fields)
        ]
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": path}
            for owner, path in named
        ]
        super().__init__(409, "Conflict", _message(named), {"causes": causes})
        self.fields: Node = EMPTY
        for _, fields in conflicts:
            self.fields = field_sets.union(self.fields, fields)


def _message(named: list[tuple[str, str]]) -> str:
    if len(named) == 1:
        return f"Apply failed with 1 conflict: conflict with {named[0][0]}: {named[0][1]}"
    lines: list[str] = []
    for owner in dict.fromkeys(owner for owner, _ in named):
        lines.append(f"conflicts with {owner}:")
        lines += [f"- {path}" for each, path in named if each == owner]
    return f"Apply failed with {len(named)} conflicts: " + "\n".join(lines)


def apply(
    schema: Schema,
    live: Mapping[str, Any] | None,
    configuration: Mapping[str, Any],
    *,
    manager: str,
    api_version: str,
    now: datetime,
    force: bool = False,
    subresource: str = "",
    reset: Node = EMPTY,
    versions: Versions | None = None,
) -> dict[str, Any]:
    """The object after the apply, with its managedFields; `live` None creates it.

    `reset` are fields that this endpoint does not write (status on the main resource): they are neither merged nor
    owned. `versions` are those of a kind whose versions differ: others may own fields in another. The result shares
    parts with its arguments, which are left alone, and is not defaulted yet. Where nothing changes it equals `live`,
    ownership and times included.
    Raises StatusError 400 for a configuration that is none, ApplyConflict where others own what would change.
    """
    if meta.metadata(configuration).get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    applied = dict(configuration)
    if isinstance(applied.get("metadata"), dict):
        applied["metadata"] = {key: value for key, value in applied["metadata"].items() if key != "managedFields"}
    whole = applied
    if reset:
        applied = typed_values.remove(schema, applied, reset)
    run = _Apply(
        schema,
        live,
        applied,
        whole,
        reset,
        manager=manager,
        api_version=api_version,
        now=now,
        subresource=subresource,
        versions=versions,
    )
    if live is None or manager != KUBECTL:
        return run.result(force=force)
    try:
        result = run.result(force=force)
    except ApplyConflict as conflict:
        # Upgrade from client-side apply: what kubectl's own annotation states was kubectl's all along.
        allowed = _last_applied_fields(schema, live)
        if not allowed or field_sets.difference(conflict.fields, allowed):
            raise
        result = run.result(force=True)
    return _with_last_applied(live, configuration, result)


class _Apply:
    def __init__(
        self,
        schema: Schema,
        live: Mapping[str, Any] | None,
        applied: dict[str, Any],
        whole: dict[str, Any],
        reset: Node,
        *,
        manager: str,
        api_version: str,
        now: datetime,
        subresource: str,
        versions: Versions | None,
    ) -> None:
        self._schema = schema
        self._versions = versions
        self._live = live
        self._applied = applied
        # The same with what this endpoint does not write.
        self._whole = whole
        self._reset = reset
        self._now = now
        try:
            fields = typed_values.fields_of(schema, managed_fields.bare(applied))
        except typed_values.TypedValueError as error:
            named = "/".join(part for part in (meta.namespace(whole), meta.name(whole)) if part)
            described = f"{named}; {api_version}, Kind={applied.get('kind', '')}"
            raise errors.bad_request(f"failed to create typed patch object ({described}): {error}") from error
        ordered = field_sets.ordered(fields)
        self._mine = Owner(manager, APPLY, api_version, ordered, meta.format_time(now), subresource)

    def result(self, *, force: bool) -> dict[str, Any]:
        before: Mapping[str, Any] = self._live or {}
        entries = meta.metadata(before).get("managedFields") or []
        known = managed_fields.owners(entries)
        if self._live is not None and not known:
            known = self._first_owner()
        mine = self._mine
        previous = next((owner for owner in known if owner.identity == mine.identity), None)
        others = [owner for owner in known if owner is not previous]

        merged = typed_values.merge(self._schema, before, self._applied)
        if previous is not None:
            merged = self._pruned(merged, previous, [mine, *others])

        comparisons = Comparisons(self._schema, mine.api_version, self._versions, before, merged)
        conflicts: list[tuple[Owner, Node]] = []
        for owner in others:
            comparison = comparisons.of(owner.api_version)
            if comparison is not None:
                changed = field_sets.union(comparison.modified, comparison.added)
                if common := field_sets.intersection(owner.fields, changed):
                    conflicts.append((owner, common))
        if conflicts and not force:
            raise ApplyConflict(conflicts)
        others = managed_fields.lose(others, comparisons)
        if self._says_nothing_new(before, merged):
            # Who states what is there already owns it from now on, and has no time where it was owned by others.
            mine = mine._replace(time="" if previous is None else previous.time)
        result = dict(merged)
        metadata = dict(result.get("metadata") or {})
        metadata["managedFields"] = managed_fields.encode([mine, *others])
        if not metadata["managedFields"]:
            del metadata["managedFields"]
        result["metadata"] = metadata
        return result

    def _says_nothing_new(self, before: Mapping[str, Any], merged: Any) -> bool:
        """Whether the object is as it was, to the order of lists; also what is not written here counts as said."""
        said = merged if self._whole is self._applied else typed_values.merge(self._schema, merged, self._whole)
        return managed_fields.bare(before) == managed_fields.bare(said)

    def _first_owner(self) -> list[Owner]:
        """What the object held before anybody's first apply belongs to a manager made up for it."""
        assert self._live is not None
        found = typed_values.compare(self._schema, {"metadata": {}}, managed_fields.bare(self._live)).added
        fields = field_sets.ordered(field_sets.without(found, self._reset))
        version = str(self._live.get("apiVersion") or self._mine.api_version)
        time = meta.format_time(self._now)
        return [Owner(BEFORE_FIRST_APPLY, UPDATE, version, fields, time, self._mine.subresource)]

    def _pruned(self, merged: Any, previous: Owner, current: list[Owner]) -> Any:
        """Without what was applied last time and that nobody states or owns any more.

        All that was applied last time goes; then each version gives back what its owners have of what is gone, and at
        last what was never applied. A mapping or list that thereby has lost all that anybody states of it goes, too.
        """
        if self._versions is None:
            # One schema serves all versions.
            previous, current = (
                previous._replace(api_version=self._mine.api_version),
                [owner._replace(api_version=self._mine.api_version) for owner in current],
            )
        one_version = all(owner.api_version == self._mine.api_version for owner in (previous, *current))
        if one_version and not field_sets.difference(previous.fields, self._mine.fields):
            return merged
        schema = self._schema_of(previous.api_version)
        if schema is None:
            return merged
        whole = self._converted(merged, previous.api_version)
        last = typed_values.with_named_parents(schema, previous.fields)
        left = typed_values.remove(schema, whole, last)
        by_version: dict[str, Node] = {previous.api_version: EMPTY}
        for owner in current:
            by_version[owner.api_version] = field_sets.union(by_version.get(owner.api_version, EMPTY), owner.fields)
        for version, fields in by_version.items():
            known = self._schema_of(version)
            if known is not None and fields:
                here, left = self._converted(whole, version), self._converted(left, version)
                owned = typed_values.with_named_parents(known, fields)
                doomed = field_sets.difference(_gone(known, here, left), owned)
                left = typed_values.remove(known, here, doomed)
        left = self._converted(left, previous.api_version)
        doomed = field_sets.intersection(_gone(schema, whole, left), last)
        return self._converted(typed_values.remove(schema, whole, doomed), self._mine.api_version)

    def _schema_of(self, api_version: str) -> Schema | None:
        return self._schema if self._versions is None else self._versions.schemas.get(api_version)

    def _converted(self, obj: Mapping[str, Any], api_version: str) -> Mapping[str, Any]:
        return obj if self._versions is None else self._versions.convert(obj, api_version)


def _gone(schema: Schema, whole: Any, left: Any) -> Node:
    """The fields, and what leads to them, that the whole has and what is left of it has not."""
    found = (typed_values.fields_of(schema, managed_fields.bare(each), stored=True) for each in (whole, left))
    all_, kept = (typed_values.with_named_parents(schema, fields) for fields in found)
    return field_sets.difference(all_, kept)


def _last_applied_fields(schema: Schema, live: Mapping[str, Any]) -> Node:
    """The fields of kubectl's annotation whose values the live object still has; they may change hands silently."""
    text = meta.annotations(live).get(LAST_APPLIED)
    if not text:
        return EMPTY
    try:
        last = orjson.loads(text)
        if not isinstance(last, dict):
            return EMPTY
        stated = managed_fields.bare(last)
        fields = typed_values.fields_of(schema, stated)
    except (orjson.JSONDecodeError, typed_values.TypedValueError):
        # The annotation is the client's; one that does not read allows nothing.
        return EMPTY
    current = managed_fields.bare(live)
    changed = typed_values.compare(schema, current, typed_values.merge(schema, current, stated))
    return field_sets.difference(fields, field_sets.union(changed.modified, changed.added))


def _with_last_applied(
    live: Mapping[str, Any], configuration: Mapping[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """Keeps kubectl's annotation in step where the object has one, so that client-side apply may be used again."""
    if LAST_APPLIED not in meta.annotations(live):
        return result
    metadata = {key: value for key, value in meta.metadata(configuration).items() if key != "managedFields"}
    if "annotations" in metadata:
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    text = orjson.dumps({**configuration, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    fresh = dict(meta.metadata(result))
    annotations = dict(fresh.get("annotations") or {})
    annotations[LAST_APPLIED] = text
    if sum(len(key) + len(value) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        del annotations[LAST_APPLIED]
    fresh["annotations"] = annotations
    return {**result, "metadata": fresh}

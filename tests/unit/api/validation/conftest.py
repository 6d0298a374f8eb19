"""Objects as they reach the validator: decoded, defaulted, prepared."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from keelson.api import decoding, defaults, resources, strategies, validation

Object = dict[str, Any]
Complaints = list[tuple[str, str]]
Check = Callable[..., Complaints]

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _prepared(resource: resources.Resource, obj: Object) -> Object:
    metadata = {"name": "a", **({"namespace": "default"} if resource.namespaced else {}), **obj.get("metadata", {})}
    body = orjson.dumps({**obj, "metadata": metadata})
    decoded = decoding.decode(body, decoding.JSON, resource, field_validation="Strict").object
    defaults.apply(resource, decoded)
    return decoded


@pytest.fixture
def create() -> Check:
    """(field, message) of each cause that a new object meets."""

    def check(name: str, obj: Object) -> Complaints:
        resource = resources.lookup(name)
        prepared = _prepared(resource, obj)
        strategies.prepare_create(resource, prepared, now=NOW, uid="u-1")
        return [(c["field"], c["message"]) for c in validation.validate_create(resource, prepared)]

    return check


@pytest.fixture
def update() -> Check:
    """(field, message) of each cause that an object meets as the successor of another.

    `new` is merged into `old`: each key of it may be a dotted path.
    """

    def check(name: str, old: Object, change: Object, *, subresource: str = "", **options: Any) -> Complaints:
        resource = resources.lookup(name)
        before = _prepared(resource, old)
        strategies.prepare_create(resource, before, now=NOW, uid="u-1")
        if "status" in options:
            before["status"] = options["status"]
        after = copy.deepcopy(before)
        for path, value in change.items():
            *parents, last = path.split(".")
            target: Any = after
            for key in parents:
                target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
            if value is None:
                del target[last]
            elif isinstance(target, list):
                target[int(last)] = value
            else:
                target[last] = value
        decoding.conform(after, resource, field_validation="Strict")
        defaults.apply(resource, after)
        strategies.prepare_update(resource, after, before, now=NOW, subresource=subresource)
        found = validation.validate_update(resource, after, before, subresource=subresource)
        return [(c["field"], c["message"]) for c in found]

    return check

"""What holds of every apply, whatever the objects are."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keelson.api import schemas
from keelson.api.patches import field_sets, managed_fields, server_side_apply, typed_values

POD = schemas.of(schemas.Kind("v1", "Pod"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _name(container: Any) -> str:
    return str(container["name"])


TEXT = st.sampled_from(["x", "y", "z"])
PORT: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"containerPort": st.integers(80, 82)}, optional={"hostIP": TEXT}
)
CONTAINER: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"name": TEXT},
    optional={
        "image": TEXT,
        "args": st.lists(TEXT, max_size=2),
        "ports": st.lists(
            PORT,
            min_size=1,
            max_size=2,
            unique_by=lambda port: str(port["containerPort"]),
        ),
    },
)
CONFIGURATION: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(TEXT, TEXT, max_size=2),
                "finalizers": st.lists(TEXT, unique=True, min_size=1, max_size=2),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": st.lists(CONTAINER, min_size=1, max_size=3, unique_by=_name),
                "nodeSelector": st.dictionaries(TEXT, TEXT, max_size=2),
                "securityContext": st.fixed_dictionaries({}, optional={"runAsUser": st.integers(0, 2)}),
            },
        ),
    },
)


def _apply(live: dict[str, Any] | None, configuration: dict[str, Any], manager: str) -> dict[str, Any]:
    return server_side_apply.apply(POD, live, configuration, manager=manager, api_version="v1", now=NOW, force=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), CONFIGURATION), min_size=1, max_size=4))
def test_stories(story: list[tuple[str, dict[str, Any]]]) -> None:
    live: dict[str, Any] | None = None
    for manager, configuration in story:
        live = _apply(live, configuration, manager)
        # What was stated is there: stating it again changes no field, no owner and no time.
        assert _apply(live, configuration, manager) == live
        merged = typed_values.merge(POD, live, configuration)
        assert typed_values.compare(POD, live, merged) == ({}, {}, {})
        # Nobody owns what is not there.
        present = typed_values.fields_of(POD, managed_fields.bare(live), stored=True)
        for owner in managed_fields.owners(live.get("metadata", {}).get("managedFields") or []):
            absent = field_sets.difference(owner.fields, present)
            named = typed_values.with_named_parents(POD, present)
            assert not field_sets.difference(absent, named), (owner, live)
    # When all managers state nothing, nothing that they stated is left.
    for manager in ("a", "b", "c"):
        live = _apply(live, {}, manager)
    assert not managed_fields.bare(live or {}), live


@settings(max_examples=60, deadline=None)
@given(CONFIGURATION, CONFIGURATION)
def test_comparison_is_exact(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Merging the new value over the old one and removing what it removes gives the new one, order of lists aside."""
    removed = typed_values.compare(POD, old, new).removed
    merged = typed_values.merge(POD, typed_values.remove(POD, old, removed), new)
    assert typed_values.compare(POD, merged, new) == ({}, {}, {}) or _only_empties(merged, new)


def _only_empties(merged: dict[str, Any], new: dict[str, Any]) -> bool:
    """Containers that hold nothing may differ: removal takes them along."""
    difference = typed_values.compare(POD, merged, new)
    return not difference.modified and not difference.added

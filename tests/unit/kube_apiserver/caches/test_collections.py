"""The cache of one resource: order, selection, the past, and what changes mean to a selection."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import field_selectors, selectors
from keelson.kube_apiserver.caches.collections import Change, Collection, ExpiredError
from keelson.kube_apiserver.caches.items import Indexer
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.caches.watchers import transition

INDEXER = Indexer(("spec.nodeName",))


def item(name: str, revision: int, *, namespace: str = "a", label: str = "", node: str = "") -> Any:
    metadata = {"name": name, "namespace": namespace, "labels": {"l": label}}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}
    return INDEXER.item(f"/r/pods/{namespace}/{name}", obj, revision)


def filled() -> Collection:
    collection = Collection("/r/pods/", INDEXER)
    collection.replace([item("b", 2), item("a", 3, label="x"), item("c", 4, namespace="b", node="n")], 5)
    return collection


def names(collection: Collection, selection: Selection, **how: Any) -> list[str]:
    return [each.name for each in collection.select(selection, **how)[0]]


def test_selects_in_the_order_of_keys() -> None:
    collection = filled()
    assert names(collection, Selection()) == ["a", "b", "c"]
    assert names(collection, Selection("a")) == ["a", "b"]
    assert names(collection, Selection(labels=selectors.parse("l=x"))) == ["a"]
    assert names(collection, Selection(fields=field_selectors.parse("spec.nodeName=n"))) == ["c"]
    assert names(collection, Selection(fields=field_selectors.parse("metadata.namespace=b"))) == ["c"]


def test_a_namespace_is_no_prefix_of_another() -> None:
    collection = Collection("/r/pods/", INDEXER)
    collection.replace([item("x", 2, namespace="a"), item("y", 3, namespace="a-b"), item("z", 4, namespace="ab")], 5)
    assert names(collection, Selection("a")) == ["x"]


def test_pages() -> None:
    collection = filled()
    items, following, remaining = collection.select(Selection(), limit=2)
    assert ([each.name for each in items], following, remaining) == (["a", "b"], "/r/pods/b/c", 1)
    assert names(collection, Selection(), start=following) == ["c"]


def test_the_past_is_rebuilt() -> None:
    collection = filled()
    collection.apply("/r/pods/a/a", 6, None, 0.0)
    collection.apply("/r/pods/a/d", 7, item("d", 7), 0.0)
    collection.apply("/r/pods/a/b", 8, item("b", 8, label="new"), 0.0)
    assert names(collection, Selection()) == ["b", "d", "c"]
    then = collection.select(Selection(), revision=5)[0]
    assert [(each.name, each.revision) for each in then] == [("a", 3), ("b", 2), ("c", 4)]
    assert names(collection, Selection(), revision=7) == ["b", "d", "c"]
    with pytest.raises(ExpiredError):
        collection.select(Selection(), revision=4)


def test_events_are_taken_once_and_several_at_one_revision() -> None:
    collection = filled()
    assert collection.apply("/r/pods/a/a", 3, item("a", 3), 0.0) is None
    assert collection.apply("/r/pods/a/a", 6, None, 0.0) is not None
    assert collection.apply("/r/pods/a/b", 6, None, 0.0) is not None
    assert collection.apply("/r/pods/a/b", 6, None, 0.0) is None
    assert names(collection, Selection()) == ["c"]


def test_a_deletion_is_told_at_its_own_revision() -> None:
    change = filled().apply("/r/pods/a/a", 6, None, 0.0)
    assert change is not None
    assert change.told.object("v1", "Pod")["metadata"]["resourceVersion"] == "6"


@pytest.mark.parametrize(
    ("before", "after", "type_"),
    [("x", "x", "MODIFIED"), ("x", "y", "DELETED"), ("y", "x", "ADDED"), ("y", "y", "")],
)
def test_what_a_change_means_to_a_selection(before: str, after: str, type_: str) -> None:
    old, new = item("a", 1, label=before), item("a", 2, label=after)
    change = Change(2, new, old, new, 0.0)
    found, shown = transition(Selection(labels=selectors.parse("l=x")), change, INDEXER)
    assert found == type_
    assert shown.revision == 2

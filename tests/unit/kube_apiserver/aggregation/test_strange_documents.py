"""Documents of other servers whose types are wrong are refused as a whole, not passed on to every client."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.openapi import merging
from keelson.kube_apiserver.aggregation import discoveries

_KIND = {"group": "g", "version": "v1", "kind": "Thing"}
_ROW = {"resource": "things", "scope": "Cluster", "singularResource": "", "verbs": ["get"], "responseKind": _KIND}


def test_sound_rows_are_taken() -> None:
    assert discoveries.typed([_ROW]) == [_ROW]


@pytest.mark.parametrize(
    "change",
    [
        {"verbs": "get"},
        {"verbs": [1]},
        {"resource": None},
        {"shortNames": {"a": "b"}},
        {"responseKind": {**_KIND, "kind": 1}},
        {"subresources": [{"subresource": 1, "verbs": [], "responseKind": _KIND}]},
    ],
)
def test_rows_of_other_types_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        discoveries.typed([{**_ROW, **change}])


@pytest.mark.parametrize("levels", [300, 900])
def test_deep_swagger_documents_are_refused(levels: int) -> None:
    item: Any = {}
    for _ in range(levels):
        item = {"a": item}
    with pytest.raises(ValueError, match="nested deeper"):
        merging.selected({"paths": {"/apis/g/v1/things": item}}, "/apis/g/v1/")


def test_a_definition_that_is_none_is_refused() -> None:
    item = {"get": {"schema": {"$ref": "#/definitions/Thing"}}}
    document = {"paths": {"/apis/g/v1/things": item}, "definitions": {"Thing": 5}}
    with pytest.raises(TypeError):
        merging.selected(document, "/apis/g/v1/")

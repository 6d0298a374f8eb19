from __future__ import annotations

from keelson.kube_apiserver.aggregation import discoveries

GROUP, VERSION = "example.com", "v1"
GVK = {"group": GROUP, "version": VERSION, "kind": "Thing"}


def test_a_resource_list_becomes_rows_with_their_subresources() -> None:
    listed = {
        "resources": [
            {"name": "things/status", "kind": "Thing", "verbs": ["get"]},
            {"name": "things", "kind": "Thing", "singularName": "thing", "namespaced": True, "verbs": ["list"],
             "shortNames": ["t"]},
            {"name": "things/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get"]},
            {"name": "others/status", "kind": "Other", "verbs": ["get"]},
        ]
    }  # fmt: skip
    scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert discoveries.of_resource_list(listed, GROUP, VERSION) == [
        {
            "resource": "things",
            "responseKind": GVK,
            "scope": "Namespaced",
            "singularResource": "thing",
            "verbs": ["list"],
            "shortNames": ["t"],
            "subresources": [
                {"subresource": "status", "responseKind": GVK, "verbs": ["get"]},
                {"subresource": "scale", "responseKind": scale, "verbs": ["get"]},
            ],
        }
    ]


def test_an_aggregated_document_gives_its_one_version_and_never_a_row_without_a_kind() -> None:
    rows = [{"resource": "things", "subresources": [{"subresource": "status"}]}]
    document = {
        "items": [
            {"metadata": {"name": "other"}, "versions": [{"version": VERSION, "resources": [{"resource": "no"}]}]},
            {"metadata": {"name": GROUP}, "versions": [{"version": "v2"}, {"version": VERSION, "resources": rows}]},
        ]
    }
    empty = {"group": "", "version": "", "kind": ""}
    assert discoveries.of_aggregated(document, GROUP, VERSION) == [
        {
            "resource": "things",
            "responseKind": empty,
            "subresources": [{"subresource": "status", "responseKind": empty}],
        }
    ]
    assert discoveries.of_aggregated(document, GROUP, "v3") == []

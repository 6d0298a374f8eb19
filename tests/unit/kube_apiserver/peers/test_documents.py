"""How discovery documents of several servers become one."""

from __future__ import annotations

from typing import Any

from keelson.kube_apiserver.peers import documents


def group(name: str, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    shown = [{"version": version, "resources": rows, "freshness": "Current"} for version, rows in versions.items()]
    return {"metadata": {"name": name}, "versions": shown}


def row(name: str, *verbs: str, below: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {"resource": name, "verbs": list(verbs)}
    if below:
        found["subresources"] = [{"subresource": each} for each in below]
    return found


def test_an_order_is_kept_where_nobody_contradicts_it() -> None:
    assert documents.order([["a", "c"], ["c", "b"]]) == ["a", "c", "b"]
    assert documents.order([["b", "c"], ["a", "c"]]) == ["a", "b", "c"]
    assert documents.order([["z", "a", "m"], ["a", "m"]]) == ["z", "a", "m"]
    assert documents.order([["a", "b", "c"], ["b", "a"]]) == ["a", "b", "c"]
    assert documents.order([["a", "b"], ["b", "c"], ["c", "a"]]) == ["a", "b", "c"]
    assert documents.order([[], []]) == []


def test_groups_versions_and_resources_of_peers_are_added() -> None:
    own = [group("apps", v1=[row("deployments", "get")]), group("zoo", v1=[row("lions", "get")])]
    peer = [
        group("apps", v2=[row("deployments", "get")], v1=[row("daemonsets", "get"), row("deployments", "get")]),
        group("batch", v1=[row("jobs", "get")]),
        group("zoo", v1=[row("lions", "get")]),
    ]
    merged = documents.merged(own, [peer])
    assert [each["metadata"]["name"] for each in merged] == ["apps", "batch", "zoo"]
    versions = {each["version"]: [row["resource"] for row in each["resources"]] for each in merged[0]["versions"]}
    assert versions == {"v2": ["deployments"], "v1": ["daemonsets", "deployments"]}
    assert documents.merged(own, []) == own


def test_verbs_and_subresources_add_up() -> None:
    own = [group("apps", v1=[row("deployments", "get", "list", below=("scale",))])]
    peer = [group("apps", v1=[row("deployments", "delete", "get", below=("status", "scale"))])]
    (found,) = documents.merged(own, [peer])[0]["versions"][0]["resources"]
    assert found["verbs"] == ["delete", "get", "list"]
    assert [each["subresource"] for each in found["subresources"]] == ["scale", "status"]


def test_what_is_served_is_told_by_resource() -> None:
    groups = [{"metadata": {}, "versions": [{"version": "v1", "resources": [row("pods", "get")]}]}]
    assert documents.resources([*groups, group("batch", v1=[row("jobs"), row("cronjobs")])]) == {
        ("", "v1", "pods"),
        ("batch", "v1", "jobs"),
        ("batch", "v1", "cronjobs"),
    }

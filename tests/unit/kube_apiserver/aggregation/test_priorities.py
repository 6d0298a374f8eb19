from __future__ import annotations

from keelson.api.resources import BUILT_IN
from keelson.kube_apiserver.aggregation import priorities, registrations


def test_versions_are_shown_ga_first() -> None:
    names = ["foo10", "v1", "v11alpha2", "foo1", "v3beta1", "v12alpha1", "v11beta2", "v10beta3", "v10", "v2"]
    assert sorted(names, key=priorities.version_key) == [
        "v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10",
    ]  # fmt: skip


def test_every_built_in_group_has_a_priority() -> None:
    for resource in BUILT_IN:
        assert priorities.built_in(resource.group, resource.version) is not None, resource.group
    assert priorities.built_in("example.com", "v1") is None


def test_what_is_registered() -> None:
    made = registrations.wanted("", "v1", custom=False)
    assert made is not None
    assert made["metadata"]["name"] == "v1."
    assert made["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    custom = registrations.wanted("example.com", "v1", custom=True)
    assert custom is not None
    assert custom["metadata"]["labels"] == {registrations.LABEL: "true"}
    assert registrations.wanted("apiregistration.k8s.io", "v1", custom=False) is None

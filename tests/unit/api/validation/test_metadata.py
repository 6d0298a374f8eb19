"""Names, labels, annotations, owners and what of metadata may change."""

from collections.abc import Callable
from typing import Any

import pytest

Check = Callable[..., list[tuple[str, str]]]
LABEL = "must consist of lower case alphanumeric characters or '-'"
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}


@pytest.mark.parametrize(
    ("resource", "name", "complaint"),
    [
        ("configmaps", "a.b-c.d", ""),
        ("configmaps", "A", "a lowercase RFC 1123 subdomain must consist of"),
        ("configmaps", "a" * 254, "must be no more than 253 bytes"),
        ("configmaps", "a.", "a lowercase RFC 1123 subdomain must consist of"),
        ("namespaces", "a.b", "a lowercase RFC 1123 label must consist of"),
        ("services", "1a", "a DNS-1035 label must consist of"),
        ("services", "a" * 64, "must be no more than 63 bytes"),
        ("clusterroles.rbac.authorization.k8s.io", "system:node", ""),
        ("clusterroles.rbac.authorization.k8s.io", "a/b", "may not contain '/'"),
        ("ipaddresses.networking.k8s.io", "10.0.0.300", "must be a valid IP address"),
    ],
)
def test_names(create: Check, resource: str, name: str, complaint: str) -> None:
    found = [message for field, message in create(resource, {"metadata": {"name": name}}) if field == "metadata.name"]
    assert bool(found) == bool(complaint)
    assert all(complaint in message for message in found)


def test_a_name_is_required(create: Check) -> None:
    found = create("configmaps", {"metadata": {"name": ""}})
    assert found == [("metadata.name", "Required value: name or generateName is required")]


@pytest.mark.parametrize(
    ("metadata", "field", "complaint"),
    [
        ({"labels": {"a b": "c"}}, "metadata.labels", "name part must consist of"),
        ({"labels": {"/a": "c"}}, "metadata.labels", "prefix part must be non-empty"),
        ({"labels": {"a/b/c": "c"}}, "metadata.labels", "a valid label key must consist of"),
        ({"labels": {"x": "-"}}, "metadata.labels", "a valid label must be an empty string or consist of"),
        ({"labels": {"x": "y" * 64}}, "metadata.labels", "must be no more than 63 bytes"),
        ({"annotations": {"A/b c": ""}}, "metadata.annotations", "name part must consist of"),
        ({"annotations": {"a": "x" * 262144}}, "metadata.annotations", "may not be more than 262144 bytes"),
        ({"finalizers": ["a b"]}, "metadata.finalizers[0]", "name part must consist of"),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, "metadata.finalizers", "cannot be both set"),
        ({"ownerReferences": [{**OWNER, "uid": ""}]}, "metadata.ownerReferences[0].uid", "must not be empty"),
        ({"ownerReferences": [OWNER, {**OWNER, "name": "q"}]}, "metadata.ownerReferences", "Only one reference can"),
        ({"generateName": "A-"}, "metadata.generateName", "RFC 1123 subdomain"),
    ],
)
def test_bad_metadata(create: Check, metadata: dict[str, Any], field: str, complaint: str) -> None:
    found = create("configmaps", {"metadata": metadata})
    assert [f for f, _ in found] == [field]
    assert complaint in found[0][1]


def test_good_metadata(create: Check) -> None:
    metadata = {
        "labels": {"app.kubernetes.io/name": "My.App_1", "empty": ""},
        "annotations": {"Example.COM/Key": "anything: {}\n"},
        "finalizers": ["example.com/keep", "orphan"],
        "ownerReferences": [OWNER],
    }
    assert create("configmaps", {"metadata": metadata}) == []


@pytest.mark.parametrize("field", ["uid", "creationTimestamp", "namespace"])
def test_fixed_fields(update: Check, field: str) -> None:
    value = "2020-01-01T00:00:00Z" if field == "creationTimestamp" else "other"
    found = update("configmaps", {}, {f"metadata.{field}": value})
    assert found == [(f"metadata.{field}", f'Invalid value: "{value}": field is immutable')]


def test_no_finalizer_joins_an_object_that_goes(update: Check) -> None:
    old = {"metadata": {"finalizers": ["a/b"]}}
    assert update("configmaps", old, {"metadata.finalizers": ["a/b", "c/d"]}) == []

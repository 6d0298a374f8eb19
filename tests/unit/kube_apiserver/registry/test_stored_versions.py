"""What other servers have stored in other versions is read in ours."""

from __future__ import annotations

from keelson.kube_apiserver.registry import stored_versions

V1 = "apiextensions.k8s.io/v1"


def test_definitions_of_the_beta_say_things_once_for_all_versions() -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    stored = {
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "validation": schema,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "JSONPath": ".spec.size"}],
            "versions": [{"name": "v1", "served": True, "storage": True}, {"name": "v2", "served": True}],
            "conversion": {
                "strategy": "Webhook",
                "webhookClientConfig": {"url": "https://example.com"},
                "conversionReviewVersions": ["v1"],
            },
            "preserveUnknownFields": False,
        },
    }
    common = {
        "schema": schema,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    assert stored_versions.current(stored, V1) == {
        "apiVersion": V1,
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "versions": [
                {"name": "v1", "served": True, "storage": True, **common},
                {"name": "v2", "served": True, **common},
            ],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"clientConfig": {"url": "https://example.com"}, "conversionReviewVersions": ["v1"]},
            },
        },
    }


def test_a_definition_of_one_unlisted_version() -> None:
    stored = {
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "kind": "CustomResourceDefinition",
        "spec": {"version": "v1", "preserveUnknownFields": True, "conversion": {"strategy": "None"}},
    }
    assert stored_versions.current(stored, V1)["spec"] == {
        "versions": [{"name": "v1", "served": True, "storage": True}],
        "preserveUnknownFields": True,
        "conversion": {"strategy": "None"},
    }


def test_a_beta_of_the_same_shape_only_changes_its_name() -> None:
    stored = {"apiVersion": "networking.k8s.io/v1beta1", "kind": "IPAddress", "spec": {"parentRef": {"name": "s"}}}
    found = stored_versions.current(stored, "networking.k8s.io/v1")
    assert found == {**stored, "apiVersion": "networking.k8s.io/v1"}


def test_events_of_the_other_group_are_kept_as_core_events() -> None:
    stored = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "hello", "regarding": {"name": "p"}}
    assert stored_versions.current(stored, "v1") == {
        "apiVersion": "v1",
        "kind": "Event",
        "message": "hello",
        "involvedObject": {"name": "p"},
    }

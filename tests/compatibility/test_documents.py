"""Our OpenAPI documents say what upstream's say: every path, operation, parameter, definition and marker, in v2 and v3.

Only words differ where they are our own: those of parameters, and of single values of enumerations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.compatibility import documents
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import eventually
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

# What differs, by pattern of place, and why. Nothing else may, and what does no longer is to be taken out.
_NUMBERS = r"io\.k8s\.apimachinery\.pkg\.(api\.resource\.Quantity|util\.intstr\.IntOrString)"
_CUSTOM = r"^apis/\w+\.example\.com/v1"
KNOWN = {
    rf" {_NUMBERS} description$": "the published definitions have no words for these two, so that ours are our own",
    rf"{_CUSTOM} info (title|version)$": "upstream's generator for custom resources calls itself by a name of its own",
    rf"{_CUSTOM} components securitySchemes$": "that generator knows of no authentication",
    rf"{_CUSTOM} components schemas .*\.DeleteOptions x-kubernetes-group-version-kind$": (
        "that generator names options of every group, where ours, as the other one, names those of the document's"
    ),
}

SCHEMA = {
    "type": "object",
    "description": "What is told of it.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer", "default": 3, "format": "int32"},
                "kept": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "size": {"type": "string", "enum": ["small", "large"]},
                "port": {"x-kubernetes-int-or-string": True},
                "empty": {"type": "string", "nullable": True},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
                },
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
    },
}
BELOW = {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}


def _define(wire: Wire, group: str, kind: str, scope: str, below: Mapping[str, object]) -> None:
    plural = f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True, "subresources": below}
    wire.done(
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": scope,
                "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
                "versions": [{**version, "schema": {"openAPIV3Schema": SCHEMA}}],
            },
        },
    )


def _described(wire: Wire) -> bool:
    """Whether all that the server has is in its documents."""
    index = documents.said(wire, "/openapi/v3")["paths"]
    paths = documents.said(wire, "/openapi/v2")["paths"]
    custom = ("apis/stable.example.com/v1", "apis/wide.example.com/v1")
    return {*custom, "apis/apps/v1", "version"} <= set(index) and all(
        any(path.startswith(f"/{each}") for path in paths) for each in custom
    )


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[list[Wire]]:
    """Upstream's and ours."""
    folder = tmp_path_factory.mktemp("servers")
    with Cluster(folder / "theirs", program=upstream("kube-apiserver")) as theirs, Cluster(folder / "ours") as ours:
        found = [Wire(theirs), Wire(ours)]
        for wire in found:
            _define(wire, "stable.example.com", "CronTab", "Namespaced", BELOW)
            _define(wire, "wide.example.com", "Region", "Cluster", {})
            eventually("everything is described", partial(_described, wire))
        yield found


def test_both_servers_describe_the_same(wires: list[Wire]) -> None:
    theirs, ours = (documents.fetched(wire) for wire in wires)
    found = list(documents.differences(theirs, ours))
    known = {place: pattern for place, _ in found for pattern in KNOWN if re.search(pattern, place)}
    assert "\n".join(f"{place}: {how}" for place, how in found if place not in known) == ""
    assert set(known.values()) == set(KNOWN)

"""What upstream's Go structs say where an object says nothing: members that are never left out.

Two uses. `fill` writes those of them that clients see and nothing else writes, null lists among them. `of` is a whole
object that is empty, with which a new object is compared where owners of fields are told: what is always there is set
by nobody (API conventions; encoding/json, `omitempty`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from keelson.api import definitions
from keelson.api.meta import Object
from keelson.api.schemas import Typed

_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)
_METADATA: Object = {"metadata": {}}
# By apiVersion and kind. A template of nobody, as in a CronJob without one, is for validation to find.
_WRITTEN: dict[tuple[str, str], Object] = {
    ("v1", "Event"): {
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    ("events.k8s.io/v1", "Event"): {
        "regarding": {},
        "eventTime": None,
        "deprecatedSource": {},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    },
    ("v1", "Node"): {
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": dict.fromkeys(_NODE_INFO, ""),
        }
    },
    ("v1", "PodTemplate"): {"template": _METADATA},
    ("batch/v1", "CronJob"): {"spec": {"jobTemplate": {**_METADATA, "spec": {"template": _METADATA}}}},
    ("batch/v1", "Job"): {"spec": {"template": _METADATA}},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {"status": {"currentMetrics": None}},
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): {"rules": None},
    ("rbac.authorization.k8s.io/v1", "Role"): {"rules": None},
    ("resource.k8s.io/v1", "ResourceClaimTemplate"): {"spec": _METADATA},
}


def fill(typed: Typed, obj: Object) -> None:
    """Write what clients see of it, in place."""
    written = _WRITTEN.get((typed.api_version, typed.kind))
    if written is not None:
        _fill(obj, written)


def _fill(obj: Object, written: Mapping[str, Any]) -> None:
    for key, value in written.items():
        if isinstance(value, dict):
            found = obj.setdefault(key, {})
            if isinstance(found, dict):
                _fill(found, value)
        elif value is None:
            # A list without elements is none to Go either, once it was stored.
            obj[key] = obj.get(key) or None
        else:
            obj.setdefault(key, value)


@cache
def of(api_version: str, kind: str) -> Mapping[str, Any]:
    """An empty object of a built-in kind, without its apiVersion and kind. Read-only."""
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    known = definitions.definitions()
    name = next(name for name, node in known.items() if wanted in node.get("x-kubernetes-group-version-kind", ()))
    made = _zero(name, known, definitions.details())
    _fill(made, _WRITTEN.get((api_version, kind), {}))
    return made


def _zero(name: str, known: definitions.Definitions, said: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Object:
    found: Object = {}
    for key, detail in said.get(name, {}).items():
        default = detail.get("default")
        if default == {}:
            # Where OpenAPI tells of an empty default stands a struct that is no pointer.
            reference = known[name]["properties"][key].get("$ref", "")
            found[key] = _zero(reference, known, said)
        elif default in ("", 0, False):
            found[key] = default
    return found

"""Sequences of writes to one object by several managers: applied, forced, replaced, patched, and taken back.

What is stated is drawn from few names and values, so that managers meet in the same fields again and again: to agree,
to disagree, to give up what nobody else states. Names of objects are the judge's; a sequence speaks of none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as some

from tests import definitions

GROUP = "sequences.example.org"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"

Document = dict[str, Any]


def _text(**more: Any) -> Document:
    return {"type": "string", **more}


def _listed(kind: str, items: Document, keys: tuple[str, ...] = ()) -> Document:
    found: Document = {"type": "array", "x-kubernetes-list-type": kind, "items": items}
    return {**found, "x-kubernetes-list-map-keys": list(keys)} if keys else found


def _named(**properties: Document) -> Document:
    return {"type": "object", "properties": properties}


_PART = {
    **_named(
        name=_text(),
        protocol=_text(default="TCP"),
        value={"type": "integer"},
        tags=_listed("set", _text()),
        inner=_named(a=_text(), b=_text()),
    ),
    "required": ["name"],
}
_CONDITION = {**_named(type=_text(), status=_text()), "required": ["type"]}
_SCHEMA = _named(
    spec=_named(
        text=_text(),
        number={"type": "integer"},
        flag={"type": "boolean", "default": True},
        quantity={"x-kubernetes-int-or-string": True},
        nothing=_text(nullable=True),
        nested=_named(a=_text(), b=_named(c=_text(), d=_text(default="e"))),
        pair={**_named(a=_text(), b=_text()), "x-kubernetes-map-type": "atomic"},
        words={"type": "object", "additionalProperties": _text()},
        parts_by_word={"type": "object", "additionalProperties": _PART},
        parts=_listed("map", _PART, ("name", "protocol")),
        tags=_listed("set", _text()),
        numbers=_listed("set", {"type": "integer"}),
        lines=_listed("atomic", _text()),
        plain={"type": "array", "items": _named(a=_text(), b=_text())},
        free={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ),
    status=_named(phase=_text(), conditions=_listed("map", _CONDITION, ("type",))),
)
DEFINITION = definitions.things(
    GROUP, _SCHEMA, subresources={"status": {}}, selectableFields=[{"jsonPath": ".spec.text"}]
)
"""A kind with a field of each sort that has rules of its own about who owns what."""

_WORDS = some.sampled_from(["a", "b", "c"])
_TEXTS = some.sampled_from(["x", "y", ""])
_SMALL = some.integers(0, 2)
_COUNTS = some.integers(1, 3)


def _some(**fields: some.SearchStrategy[Any]) -> some.SearchStrategy[Document]:
    """A mapping with any of these fields."""
    return some.fixed_dictionaries({}, optional=fields)


def _by_key(key: str, items: some.SearchStrategy[Document]) -> some.SearchStrategy[list[Document]]:
    return some.lists(items, max_size=3, unique_by=lambda each: each[key])


_INNER = _some(a=_TEXTS, b=_TEXTS)
_TAGS = some.lists(_WORDS, max_size=3, unique=True)


def _parts(**required: some.SearchStrategy[Any]) -> some.SearchStrategy[Document]:
    optional = {"value": _SMALL, "tags": _TAGS, "inner": _INNER}
    return some.fixed_dictionaries(required, optional=optional)


_FREE: some.SearchStrategy[Any] = some.recursive(
    some.one_of(some.none(), some.booleans(), _TEXTS, _SMALL),
    lambda inner: some.one_of(some.lists(inner, max_size=2), _some(a=inner, b=inner)),
)
_THING_SPECS = _some(
    text=_TEXTS,
    number=_SMALL,
    flag=some.booleans(),
    quantity=some.sampled_from([1, "1", "10%"]),
    nothing=some.one_of(some.none(), _TEXTS),
    nested=_some(a=_TEXTS, b=_some(c=_TEXTS, d=_TEXTS)),
    pair=_INNER,
    words=_some(a=_TEXTS, b=_TEXTS),
    parts_by_word=_some(a=_parts(name=_WORDS), b=_parts(name=_WORDS)),
    parts=_by_key("name", _parts(name=_WORDS))
    | some.lists(
        _parts(name=_WORDS, protocol=some.sampled_from(["TCP", "UDP"])),
        max_size=3,
        unique_by=lambda each: (each["name"], each["protocol"]),
    ),
    tags=_TAGS,
    numbers=some.lists(_SMALL, max_size=3, unique=True),
    lines=some.lists(_WORDS, max_size=2),
    plain=some.lists(_INNER, max_size=2),
    free=_some(a=_FREE, b=_FREE),
)
_THING_STATUSES = _some(
    phase=_TEXTS,
    conditions=_by_key("type", some.fixed_dictionaries({"type": _WORDS}, optional={"status": _TEXTS})),
)
_ENVIRONMENT = _by_key("name", some.fixed_dictionaries({"name": _WORDS}, optional={"value": _TEXTS}))
_CONTAINER_PORTS = _by_key(
    "containerPort",
    some.fixed_dictionaries(
        {"containerPort": some.integers(80, 82)},
        optional={"protocol": some.sampled_from(["TCP", "UDP"]), "name": some.sampled_from(["a", "b"])},
    ),
)
_CONTAINERS = some.lists(
    some.fixed_dictionaries(
        {"name": _WORDS, "image": some.sampled_from(["i", "j"])},
        optional={
            "env": _ENVIRONMENT,
            "ports": _CONTAINER_PORTS,
            "args": some.lists(_WORDS, max_size=2),
            "resources": _some(limits=_some(cpu=some.sampled_from(["1", "1000m", "0.5"]))),
            "securityContext": _some(privileged=some.booleans(), capabilities=_some(add=_TAGS)),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each["name"],
)
_TEMPLATE: Document = {"labels": {"app": "a"}}
_LABELS = {"matchLabels": {"app": "a"}}
_POD_SPECS = some.fixed_dictionaries(
    {"containers": _CONTAINERS},
    optional={
        "nodeSelector": _some(a=_TEXTS, b=_TEXTS),
        "tolerations": some.lists(
            some.fixed_dictionaries({"key": _WORDS, "operator": some.just("Exists")}), max_size=2
        ),
        "securityContext": _some(runAsUser=_COUNTS),
        "terminationGracePeriodSeconds": _COUNTS,
        "volumes": _by_key("name", some.fixed_dictionaries({"name": _WORDS}, optional={"emptyDir": some.just({})})),
        "imagePullSecrets": _by_key("name", some.fixed_dictionaries({"name": _WORDS})),
    },
)
_DEPLOYMENT_SPECS = _some(
    replicas=_COUNTS,
    paused=some.booleans(),
    minReadySeconds=_COUNTS,
    strategy=some.sampled_from(
        [{}, {"type": "Recreate"}, {"type": "RollingUpdate"}, {"rollingUpdate": {"maxSurge": 1}}]
    ),
    selector=some.just(_LABELS),
    template=some.fixed_dictionaries(
        {
            "metadata": some.sampled_from(
                [{"labels": {"app": "a"}, **more} for more in ({}, {"annotations": {"a": "b"}})]
            ),
            "spec": _POD_SPECS,
        }
    ),
)
_DEPLOYMENT_STATUSES = _some(
    replicas=_COUNTS,
    observedGeneration=_COUNTS,
    conditions=_by_key(
        "type",
        some.fixed_dictionaries(
            {
                "type": _WORDS,
                "status": some.just("True"),
                # Go's structs state the times that nobody states: as null.
                "lastTransitionTime": some.just("2026-01-01T00:00:00Z"),
                "lastUpdateTime": some.just("2026-01-01T00:00:00Z"),
            },
            optional={"reason": _WORDS},
        ),
    ),
)
_SERVICE_SPECS = _some(
    ports=_by_key(
        "port",
        some.fixed_dictionaries(
            {"port": some.integers(80, 82)},
            optional={
                "name": some.sampled_from(["a", "b"]),
                "protocol": some.sampled_from(["TCP", "UDP"]),
                "targetPort": some.sampled_from([80, "http"]),
            },
        ),
    ),
    selector=_INNER,
    externalIPs=some.lists(some.sampled_from(["192.0.2.1", "192.0.2.2"]), max_size=2, unique=True),
    sessionAffinity=some.sampled_from(["None", "ClientIP"]),
    publishNotReadyAddresses=some.booleans(),
)
_SERVICE_STATUSES: some.SearchStrategy[Document] = some.fixed_dictionaries(
    {"loadBalancer": some.just({})},
    optional={
        "conditions": _by_key(
            "type",
            some.fixed_dictionaries(
                {
                    "type": _WORDS,
                    "status": some.just("True"),
                    "reason": some.just("R"),
                    "message": some.just("m"),
                    "lastTransitionTime": some.just("2026-01-01T00:00:00Z"),
                }
            ),
        )
    },
)


class Kind(NamedTuple):
    """What a sequence is about. `path` is the collection's; `base` what makes any spec one that validates."""

    path: str
    api_version: str
    kind: str
    specs: some.SearchStrategy[Document]
    statuses: some.SearchStrategy[Document]
    base: Mapping[str, Any] = {}
    strategic: bool = True

    def document(self, name: str, metadata: Document, spec: Document | None, status: Document | None) -> Document:
        """An object, or what a manager states of one."""
        found: Document = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": name, "namespace": "default", **metadata},
        }
        if spec is not None:
            found["spec"] = spec
        if status is not None:
            found["status"] = status
        return found


KINDS = {
    "things": Kind(
        f"/apis/{GROUP}/v1/namespaces/default/things",
        f"{GROUP}/v1",
        "Thing",
        _THING_SPECS,
        _THING_STATUSES,
        strategic=False,
    ),
    "deployments": Kind(
        "/apis/apps/v1/namespaces/default/deployments",
        "apps/v1",
        "Deployment",
        _DEPLOYMENT_SPECS,
        _DEPLOYMENT_STATUSES,
        {
            "selector": _LABELS,
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "a", "image": "i"}]},
            },
        },
    ),
    "services": Kind(
        "/api/v1/namespaces/default/services",
        "v1",
        "Service",
        _SERVICE_SPECS,
        _SERVICE_STATUSES,
        {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    ),
}

_TELLING = frozenset({"emptyDir", "loadBalancer"})
_EMPTY: Sequence[Any] = ({}, [], "", False)
_PAIRS = some.dictionaries(some.sampled_from(["a", "b"]), _TEXTS, min_size=1)
# Nothing empty: upstream stores what is empty in a custom object's metadata and leaves it out at the next write, which
# then is one where nothing changed.
_METADATA = _some(
    labels=_PAIRS,
    annotations=_PAIRS,
    finalizers=some.sampled_from([["example.org/a"], ["example.org/b"], ["example.org/a", "example.org/b"]]),
    ownerReferences=some.lists(
        some.fixed_dictionaries(
            {
                "apiVersion": some.just("v1"),
                "kind": some.just("ConfigMap"),
                "name": _WORDS,
                "uid": some.sampled_from(["u", "v"]),
            },
            optional={"controller": some.just(False)},
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda each: each["uid"],
    ),
)


class Step(NamedTuple):
    """One write. `verb` is what is done with what is stated: see `sent`."""

    verb: str
    manager: str
    metadata: Document
    spec: Document | None
    status: Document | None
    subresource: str = ""
    force: bool = False
    operations: tuple[Document, ...] = ()


class Request(NamedTuple):
    """A step as it is sent; `query` begins with the manager."""

    method: str
    path: str
    query: str
    body: bytes = b""
    media_type: str = ""


def without(value: Any, empty: Sequence[Any]) -> Any:
    """A value without the fields whose value is one of these, but for those where it says something."""
    if isinstance(value, dict):
        found = {key: without(child, empty) for key, child in value.items()}
        return {key: child for key, child in found.items() if child not in empty or key in _TELLING}
    return [without(each, empty) for each in value] if isinstance(value, list) else value


@some.composite
def steps(draw: some.DrawFn, kind: Kind) -> Step:
    """One write of any kind."""
    verbs = ["apply"] * 6 + ["replace", "merge", "json", "forget", "create"] + ["strategic"] * kind.strategic
    verb = draw(some.sampled_from(verbs))
    subresource = draw(some.sampled_from(["", "", "", "/status"]))
    spec, status = draw(some.none() | kind.specs), None
    if subresource or not draw(some.integers(0, 7)):
        status = draw(kind.statuses)
    if kind.base:
        # Go's structs leave out what is stated as empty, and so does who reads them.
        spec, status = without(spec, _EMPTY), without(status, _EMPTY)
        # What is required and lacks is refused, which is no subject of this.
        spec = None if spec is None else {**kind.base, **spec}
    metadata: Document = draw(some.just({}) | _METADATA)
    manager = draw(some.sampled_from(["one", "two", "three", "kubectl"]))
    operations: tuple[Document, ...] = ()
    if verb == "json":
        operations = tuple(draw(some.lists(_operations(spec or {}, metadata), min_size=1, max_size=3)))
    force: bool = draw(some.booleans())
    return Step(verb, manager, metadata, spec, status, subresource, force, operations)


def _operations(spec: Document, metadata: Document) -> some.SearchStrategy[Document]:
    """Operations that add what is stated, or remove what may be there."""
    values = {f"/spec/{key}": value for key, value in spec.items()}
    values |= {f"/metadata/{key}": value for key, value in metadata.items()}
    values = {"/metadata/labels": {"a": "z"}, "/metadata/finalizers": ["example.org/a"], **values}
    paths = some.sampled_from(sorted(values))
    return paths.flatmap(
        lambda path: some.sampled_from(
            [{"op": "remove", "path": path}, {"op": "add", "path": path, "value": values[path]}]
        )
    )


def sequences(kind: Kind) -> some.SearchStrategy[list[Step]]:
    """Up to ten writes."""
    return some.lists(steps(kind), min_size=1, max_size=10)


def sent(kind: Kind, name: str, step: Step, live: Document | None) -> Request:
    """A step as a request; `live` is the object as it is, None where it is not there.

    `create` is refused where the object is there, `replace` puts what is stated in the place of what is there, `forget`
    does the same and resets who owns what, patches lay it over, `json` is made of operations. What may be forced states
    no revision.
    """
    # Upstream makes a Service by a write of its status, where there is none yet.
    path = f"{kind.path}/{name}" + ("" if live is None else step.subresource)
    query = f"fieldManager={step.manager}"
    stated = kind.document(name, step.metadata, step.spec, step.status)
    match step.verb:
        case "apply":
            return Request("PATCH", path, f"{query}&force={json.dumps(step.force)}", _dumped(stated), APPLY_PATCH)
        case "create":
            stated["spec"] = {**kind.base, **(step.spec or {})}
            return Request("POST", kind.path, query, _dumped(stated), "application/json")
        case "replace" | "forget":
            found = json.loads(json.dumps(live or stated))
            found["metadata"].update(step.metadata)
            if step.verb == "forget":
                found["metadata"]["managedFields"] = [{}]
            for key in ("spec", "status"):
                if key in stated:
                    found[key] = {**kind.base, **stated[key]} if key == "spec" else stated[key]
            if step.force:
                found["metadata"].pop("resourceVersion", None)
            return Request("PUT", path, query, _dumped(found), "application/json")
        case "json":
            return Request("PATCH", path, query, _dumped(list(step.operations)), JSON_PATCH)
        case "merge":
            return Request("PATCH", path, query, _dumped(stated), MERGE_PATCH)
        case "strategic":
            return Request("PATCH", path, query, _dumped(stated), STRATEGIC_PATCH)
        case verb:
            raise AssertionError(verb)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


# Judging


def unfounded(obj: Document) -> list[str]:
    """Fields that somebody owns and that are not there, each with who owns it."""
    found = []
    for entry in obj["metadata"].get("managedFields", ()):
        found += [f"{entry['manager']} owns {path}" for path in _missing(entry["fieldsV1"], obj, "")]
    return found


def _missing(fields: Document, value: Any, path: str) -> list[str]:
    found = []
    for key, below in fields.items():
        if key == ".":
            continue
        here = f"{path} {key}"
        child = _child(key, value)
        if child is not None:
            found += _missing(below, child[0], here)
        elif below.keys() != {"."}:
            # A mapping that has become empty is left out, as Go does, and who owns it with nothing in it still does.
            found.append(here)
    return found


def _child(key: str, value: Any) -> tuple[Any] | None:
    """What a path element leads to, in a tuple; None where that is not there."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return (value[rest],) if isinstance(value, dict) and rest in value else None
    if not isinstance(value, list):
        return None
    wanted = json.loads(rest)
    for each in value:
        if kind == "v" and each == wanted:
            return (each,)
        # Keys that have a default may be left out of what is stored.
        if kind == "k" and all(each.get(name, "TCP") == part for name, part in wanted.items()):
            return (each,)
    return None

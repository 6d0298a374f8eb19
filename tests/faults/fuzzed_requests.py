"""What fuzzing sends: requests that are nearly right, and requests that are nothing at all.

Each strategy starts from what is valid and spoils some of it, because what is wrong at first sight is refused at the
first door and tests nothing behind it.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as some


class Case(NamedTuple):
    """One request; `path` begins with a slash, and is what stands in the request line."""

    method: str
    path: str
    body: bytes = b""
    media_type: str = ""


NAMESPACE = "fuzz"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
CRON_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"
CUSTOM = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_DRY = "dryRun=All"

_CONTAINER = {
    "name": "c",
    "image": "i",
    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}, "requests": {"cpu": 0.1}},
    "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3},
    "securityContext": {"runAsUser": 1, "capabilities": {"add": ["NET_ADMIN"]}},
    "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}],
}
_POD_SPEC = {
    "containers": [_CONTAINER],
    "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "x", "items": []}}]}}],
    "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {}}}
    ],
}
_RULES = [{"rule": "self.replicas > 0 && self.name.size() < 10", "message": "m", "messageExpression": "'a' + 'b'"}]
_STRUCTURE = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": _RULES,
            "properties": {
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "name": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 20},
                "list": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 5, "items": {"type": "string"}},
                "map": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
            },
        }
    },
}
_DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "fuzzes.fuzz.example.org"},
    "spec": {
        "group": "fuzz.example.org",
        "names": {"plural": "fuzzes", "singular": "fuzz", "kind": "Fuzz", "listKind": "FuzzList", "shortNames": ["fz"]},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": _STRUCTURE},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [{"name": "R", "type": "integer", "jsonPath": ".spec.replicas"}],
                "selectableFields": [{"jsonPath": ".spec.name"}],
            }
        ],
    },
}


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": {"a": "b"}, "annotations": {"c": "d"}}


SEEDS: list[tuple[str, dict[str, Any]]] = [
    (CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("seed"), "data": {"a": "1"}}),
    (PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": _meta("seed"), "spec": _POD_SPEC}),
    (
        DEPLOYMENTS,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _meta("seed"),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"a": "b"}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": _POD_SPEC},
            },
        },
    ),
    (
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta("seed"),
            "spec": {"ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}], "selector": {"a": "b"}},
        },
    ),
    (
        f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": _meta("seed"),
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
            },
        },
    ),
    (
        CRON_JOBS,
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": _meta("seed"),
            "spec": {
                "schedule": "*/5 * * * *",
                "timeZone": "Etc/UTC",
                "jobTemplate": {"spec": {"template": {"spec": {**_POD_SPEC, "restartPolicy": "Never"}}}},
            },
        },
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "seed"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
        },
    ),
    (CUSTOM, _DEFINITION),
]

# What decoders have stumbled over before.
_NUMBERS = some.sampled_from(
    [0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400, 1.5, -0.0, 1e308, 1e-320]
)
_TEXTS = some.one_of(
    some.sampled_from(
        [
            "(" * 3000,
            "(a{999}){999}",
            "a" * 100_000,
            "",
            "a",
            "..",
            ".",
            "/",
            "%2f",
            "a" * 300,
            "\0",
            "\n",
            "1Ki",
            "1e99999",
            "-1",
            "25%",
            "\U0001f600",
            "{{}}",
            "~1",
            "2026-01-01T00:00:00Z",
            "9999-99-99T99:99:99Z",
            "(a+)+$",
            "[",
            "\\",
            "10.0.0.0/33",
            "::",
            "0x",
            "null",
            "true",
            "*/0 * * * *",
            "self",
            "a.b",
            "99999999999999999999",
            "-",
            "=",
            "!",
            "$patch",
            "\u2028",
            "metadata.name",
        ]
    ),
    some.text(max_size=12),
)
_SCALARS = some.one_of(some.none(), some.booleans(), _NUMBERS, _TEXTS)
VALUES = some.recursive(
    _SCALARS,
    lambda inner: some.one_of(some.lists(inner, max_size=3), some.dictionaries(_TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, child in value.items():
            found += places(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += places(child, (*path, index))
    return found


@some.composite
def spoiled(draw: some.DrawFn, seed: Any) -> Any:
    """A document with some values replaced, removed, renamed, added or repeated."""
    document = json.loads(json.dumps(seed))
    for _ in range(draw(some.integers(1, 3))):
        found = places(document)
        if not found:
            break
        path = draw(some.sampled_from(found))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        key = path[-1]
        match draw(some.sampled_from(["replace", "remove", "rename", "add", "repeat"])):
            case "replace":
                holder[key] = draw(VALUES)
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(_TEXTS)] = holder.pop(key)
            case "add" if isinstance(holder, dict):
                holder[draw(_TEXTS)] = draw(VALUES)
            case "repeat" if isinstance(holder, list):
                holder.append(holder[key])
            case _:
                holder[key] = [holder[key]]
    return document


@some.composite
def corrupted(draw: some.DrawFn, body: bytes) -> bytes:
    """Bytes with a few of them changed, cut out or put in."""
    data = bytearray(body)
    for _ in range(draw(some.integers(0, 4))):
        at = draw(some.integers(0, max(0, len(data) - 1)))
        match draw(some.sampled_from(["set", "cut", "put", "end"])):
            case "set" if data:
                data[at] = draw(some.integers(0, 255))
            case "cut":
                del data[at : at + draw(some.integers(1, 20))]
            case "put":
                data[at:at] = draw(some.binary(min_size=1, max_size=8))
            case _:
                del data[at:]
    return bytes(data)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@some.composite
def json_bodies(draw: some.DrawFn) -> Case:
    """Creations in JSON."""
    path, seed = draw(some.sampled_from(SEEDS))
    body = _dumped(draw(spoiled(seed)))
    if draw(some.integers(0, 3)) == 0:
        body = draw(corrupted(body))
    strict = draw(some.sampled_from(["Strict", "Warn", "Ignore"]))
    return Case("POST", f"{path}?{_DRY}&fieldValidation={strict}", body, "application/json")


_YAML_PIECES = some.sampled_from(
    [
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "? " * 5000,
        "a: ",
        "- ",
        "&x ",
        "*x",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "\n",
        "  ",
        "!!int ",
        "!!float ",
        "!!binary ",
        "!!python/x ",
        "|",
        ">",
        "'",
        '"',
        "<<: ",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "0x",
        "0o",
        "09",
        "1_000",
        "1:30",
        ".inf",
        ".nan",
        "~",
        "\t",
        "9" * 5000,
        "1e999",
        "\\ud800",
        '"\\ud800"',
        "kind: ConfigMap\n",
        "metadata:\n  name: a\n",
        "data:\n  k: v\n",
        "#",
    ]
)


@some.composite
def yaml_bodies(draw: some.DrawFn) -> Case:
    """Creations in YAML: spoiled documents, and pieces of the language in any order."""
    path, seed = draw(some.sampled_from(SEEDS))
    if draw(some.booleans()):
        document = draw(spoiled(seed))
        body = draw(corrupted(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass")))
    else:
        body = "".join(draw(some.lists(_YAML_PIECES, max_size=12))).encode()
    return Case("POST", f"{path}?{_DRY}", body, "application/yaml")


@some.composite
def protobuf_bodies(draw: some.DrawFn, messages: list[tuple[str, bytes]]) -> Case:
    """Creations in protobuf; `messages` are (path, a valid body)."""
    path, body = draw(some.sampled_from(messages))
    damaged = draw(corrupted(body))
    if draw(some.booleans()):
        damaged = b"k8s\0" + damaged.removeprefix(b"k8s\0")
    return Case("POST", f"{path}?{_DRY}", damaged, "application/vnd.kubernetes.protobuf")


_SEGMENTS = some.one_of(
    some.sampled_from(
        ["", "data", "a", "metadata", "labels", "spec", "containers", "0", "-", "-1", "01", "~0", "~1", "~2"]
    ),
    some.text(max_size=4),
)
_POINTERS = some.one_of(
    some.lists(_SEGMENTS, max_size=4).map(lambda parts: "".join(f"/{each}" for each in parts)), _TEXTS
)


@some.composite
def json_patches(draw: some.DrawFn) -> Case:
    """JSON patches."""
    operations = []
    for _ in range(draw(some.integers(0, 5))):
        operation: dict[str, Any] = {
            "op": draw(some.sampled_from(["add", "remove", "replace", "copy", "move", "test", "x"]))
        }
        for field, values in (("path", _POINTERS), ("from", _POINTERS), ("value", VALUES)):
            if draw(some.integers(0, 5)):
                operation[field] = draw(values)
        operations.append(operation)
    value: Any = operations if draw(some.integers(0, 9)) else draw(VALUES)
    return Case("PATCH", draw(_PATCHED), _dumped(value), "application/json-patch+json")


_PATCHED = some.sampled_from([f"{path}/seed?{_DRY}" for path in (CONFIG_MAPS, DEPLOYMENTS, SERVICES)])
_DIRECTIVES: some.SearchStrategy[dict[str, Any]] = some.sampled_from(
    [
        {"$patch": "delete"},
        {"$patch": "replace"},
        {"$patch": "x"},
        {"$retainKeys": ["a"]},
        {"$retainKeys": 1},
        {"$deleteFromPrimitiveList/finalizers": ["a"]},
        {"$setElementOrder/containers": [{"name": "c"}, {"name": "z"}]},
        {"$setElementOrder/containers": "x"},
        {"$deleteFromPrimitiveList/containers": [1]},
        {"$setElementOrder/ports": [1]},
    ]
)


@some.composite
def object_patches(draw: some.DrawFn) -> Case:
    """Merge and strategic merge patches, with their directives at any place."""
    path, seed = draw(some.sampled_from([each for each in SEEDS if each[0] in (CONFIG_MAPS, DEPLOYMENTS, SERVICES)]))
    patch = draw(some.one_of(spoiled(seed), VALUES))
    holders: list[dict[str, Any]] = [patch] if isinstance(patch, dict) else []
    for place in places(patch):
        value = patch
        for key in place:
            value = value[key]
        if isinstance(value, dict):
            holders.append(value)
    spoils: bool = draw(some.booleans())
    if holders and spoils:
        position = draw(some.integers(0, len(holders) - 1))
        holders[position].update(dict(draw(_DIRECTIVES)))
    kind = draw(some.sampled_from(["application/merge-patch+json", "application/strategic-merge-patch+json"]))
    return Case("PATCH", f"{path}/seed?{_DRY}", _dumped(patch), kind)


@some.composite
def apply_patches(draw: some.DrawFn) -> Case:
    """Server-side apply, of objects that are there and of others."""
    path, seed = draw(some.sampled_from([each for each in SEEDS if each[0] != CUSTOM]))
    name = draw(some.sampled_from(["seed", "other"]))
    document = draw(spoiled({**seed, "metadata": {**seed["metadata"], "name": name}}))
    query = f"fieldManager=fuzz&{_DRY}&force={draw(some.sampled_from(['true', 'false']))}"
    return Case("PATCH", f"{path}/{name}?{query}", _dumped(document), "application/apply-patch+yaml")


_SELECTORS = some.lists(
    some.sampled_from(
        ["a", "b/c", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", " ", ">", "<", "gt", "\\", "metadata.name"]
    )
    | some.sampled_from(["spec.nodeName", "status.phase", "\0", "é", "a" * 300, "1", "-", "x,y", "\\,", "\\="]),
    max_size=9,
).map("".join)


def quoted(text: str) -> str:
    """Text for a query string, byte for byte."""
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


@some.composite
def lists(draw: some.DrawFn) -> Case:
    """Lists and watches by any selector and with any options."""
    path = draw(some.sampled_from([CONFIG_MAPS, PODS, DEPLOYMENTS]))
    options = {
        "labelSelector": _SELECTORS,
        "fieldSelector": _SELECTORS,
        "limit": some.one_of(some.integers(-2, 3).map(str), _TEXTS),
        "resourceVersion": some.one_of(some.integers(0, 3).map(str), _TEXTS),
        "resourceVersionMatch": some.sampled_from(["Exact", "NotOlderThan", "x"]),
        "continue": continue_tokens(),
        "timeoutSeconds": some.sampled_from(["1", "-1", "x", "9" * 30]),
        "sendInitialEvents": some.sampled_from(["true", "false", "x"]),
    }
    chosen = draw(some.lists(some.sampled_from(sorted(options)), max_size=3, unique=True))
    query = [f"{name}={quoted(draw(options[name]))}" for name in chosen]
    return Case("GET", f"{path}?{'&'.join(query)}")


@some.composite
def continue_tokens(draw: some.DrawFn) -> str:
    """Tokens as the server writes them, spoiled."""
    seed = {"v": "meta.k8s.io/v1", "rv": draw(some.sampled_from([1, 2, -1, 0, 2**70])), "start": f"{NAMESPACE}/seed"}
    raw = draw(corrupted(_dumped(draw(some.one_of(some.just(seed), spoiled(seed))))))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=" if draw(some.booleans()) else "")


def continue_token(value: Any) -> str:
    """The token that has this value in it."""
    return base64.urlsafe_b64encode(_dumped(value)).decode().rstrip("=")


_PARTS = some.one_of(
    some.sampled_from(
        ["api", "apis", "v1", "apps", "namespaces", NAMESPACE, "pods", "configmaps", "seed", "status", "scale"]
    )
    | some.sampled_from(
        ["..", ".", "%2e%2e", "%2f", "%00", "", "nodes", "proxy", "exec", "log", "watch", "http:a:b", "~"]
    )
    | some.sampled_from(
        ["openapi", "v3", "v2", "metrics", "healthz", "livez", "token", "binding", "eviction", "resize"]
    ),
    some.text(alphabet=some.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"), max_size=5),
)


@some.composite
def paths(draw: some.DrawFn) -> Case:
    """Any verb on any path."""
    method = draw(some.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]))
    parts = draw(some.lists(_PARTS, max_size=8))
    base = draw(some.sampled_from(["/", "/api/v1/", "/apis/apps/v1/", f"/api/v1/namespaces/{NAMESPACE}/"]))
    body = draw(some.sampled_from([b"", b"{}", b"[]", b"null", b'{"kind":"x"}']))
    query = f"{_DRY}&timeoutSeconds=1&watch={draw(some.sampled_from(['0', 'x']))}"
    return Case(
        method, f"{base}{'/'.join(parts)}?{query}", body if method not in ("GET", "HEAD") else b"", "application/json"
    )


_CEL = some.lists(
    some.sampled_from(
        ["self", "oldSelf", ".", "spec", "name", "replicas", "list", "map", "(", ")", "[", "]", "{", "}", ",", ":"]
    )
    | some.sampled_from(["(" * 3000, "[" * 3000, "!" * 3000, "-" * 3000, "x.map(y, " * 500, "a." * 3000, "1+" * 3000])
    | some.sampled_from(
        [
            "+",
            "-",
            "*",
            "/",
            "%",
            "==",
            "!=",
            "<",
            ">=",
            "&&",
            "||",
            "!",
            "?",
            "in",
            "'a'",
            '"b"',
            "1",
            "1.5",
            "0",
            "9" * 40,
        ]
    )
    | some.sampled_from(
        ["all(", "exists(x,", "map(x,", "filter(x,", "size()", "matches('(a*)*')", "has(", "true", "null", "b'x'"]
    )
    | some.sampled_from(
        [
            "x",
            "duration('1h')",
            "timestamp('x')",
            "quantity('1Ki')",
            "url('a')",
            "ip('1')",
            "optional.none()",
            "?.",
            "split('')",
        ]
    )
    | some.sampled_from(
        [
            " * 9223372036854775807",
            "dyn(",
            "string(",
            "int(",
            "uint(",
            "type(",
            "join()",
            "replace('','x')",
            "lowerAscii()",
        ]
    ),
    max_size=14,
)


@some.composite
def rules(draw: some.DrawFn) -> Case:
    """Rules of a resource definition, in the expression language."""
    return rule(draw(expressions()))


# Expressions that mean something, to be spoiled.
_SOUND = some.sampled_from(
    [
        "self.list.all(x, x.startsWith('a') && x.size() < 10)",
        "self.map.exists(k, k.matches('^[a-z]+$')) || self.replicas > oldSelf.replicas",
        "self.list.map(x, x + x).map(x, x + x).map(x, x + x).size() < 100",
        "self.list.all(x, self.list.all(y, self.list.all(z, self.list.all(w, x + y != z + w))))",
        "quantity(self.name).isLessThan(quantity('1Gi')) ? 'a'.replace('a', self.name) == 'b' : has(self.map.x)",
        "url('https://a/b?c=d').getHost() == 'a' && ip('10.0.0.1').family() == 4",
        "timestamp('2026-01-01T00:00:00Z') + duration('1h') > timestamp('2026-01-01T00:30:00Z')",
        "semver('1.2.3').isGreaterThan(semver('1.2.2')) && '%d %s'.format([1, 'a']) == '1 a'",
        "[1, 2, 3].sum() == 6 && sets.contains([1, 2], [1]) && 'a,b'.split(',').join('') == 'ab'",
        "self.list.sort().reverse().flatten().distinct().slice(0, 1) == ['a']",
        "int(self.name) / self.replicas + int('9223372036854775807') * 2 > 0",
    ]
)


@some.composite
def expressions(draw: some.DrawFn) -> str:
    """Expressions: sound ones with a few characters spoiled or pieces between, and pieces in any order."""
    if draw(some.booleans()):
        return draw(some.sampled_from(["", " ", "."])).join(draw(_CEL))
    text = draw(_SOUND)
    for _ in range(draw(some.integers(0, 2))):
        at = draw(some.integers(0, len(text)))
        piece = draw(some.one_of(_CEL.map(lambda pieces: "".join(pieces[:2])), some.text(max_size=2)))
        text = text[:at] + piece + text[at + draw(some.integers(0, 3)) :]
    return text


def rule(text: str) -> Case:
    """A resource definition with this rule."""
    document = json.loads(json.dumps(_DEFINITION))
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["x-kubernetes-validations"] = [{"rule": text}]
    return Case("POST", f"{CUSTOM}?{_DRY}", _dumped(document), "application/json")


_LINES = some.sampled_from(
    [
        b"Host: x",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 1, 2",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity, chunked",
        b"Connection: close",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Expect: x",
        b": x",
        b"A",
        b"A : b",
        b" folded",
        b"\0: \0",
        b"Authorization: Bearer x",
        b"Accept: */*",
        b"Authorization: Basic x",
        b"Content-Type: application/json",
        b"X-Remote-User: admin",
        b"Impersonate-User: a",
        b"A: " + b"b" * 9000,
        b"Accept: application/json;as=Table;g=meta.k8s.io;v=v1",
        b"Accept: application/vnd.kubernetes.protobuf",
        b"Accept: \xff;q=x",
    ]
)
_TARGETS = some.sampled_from(
    [b"/", b"*", b"/api/v1/pods", b"http://a/api", b"/%zz", b"/\xff", b"/" + b"a" * 9000, b"a", b"//", b"/?%"]
)


@some.composite
def raw_requests(draw: some.DrawFn) -> bytes:
    """Bytes that look like HTTP from afar."""
    method = draw(some.sampled_from([b"GET", b"POST", b"PUT", b"PRI", b"G\0T", b"", b"CONNECT", b"get"]))
    version = draw(some.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"", b"XTTP/1.1"]))
    lines = [method + b" " + draw(_TARGETS) + b" " + version, *draw(some.lists(_LINES, max_size=5))]
    ending = draw(some.sampled_from([b"\r\n", b"\n", b"\r\n"]))
    body = draw(
        some.sampled_from(
            [b"", b"{}", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"x" * 100, b"0\r\n\r\n", b"-1\r\n"]
        )
    )
    return draw(corrupted(ending.join(lines) + ending * 2 + body))

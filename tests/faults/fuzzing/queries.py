"""Paths and what follows the question mark: selectors, options of lists and watches, continue tokens."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as some

from tests.faults.fuzzing.requests import DRY, TEXTS, Case, corrupted, dumped, quoted, spoiled
from tests.faults.fuzzing.seeds import CONFIG_MAPS, DEPLOYMENTS, NAMESPACE, PODS

_SELECTORS = some.lists(
    some.sampled_from(
        ["a", "b/c", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", " ", ">", "<", "gt", "\\", "metadata.name"]
    )
    | some.sampled_from(["spec.nodeName", "status.phase", "\0", "é", "a" * 300, "1", "-", "x,y", "\\,", "\\="]),
    max_size=9,
).map("".join)


@some.composite
def lists(draw: some.DrawFn) -> Case:
    """Lists and watches by any selector and with any options."""
    path = draw(some.sampled_from([CONFIG_MAPS, PODS, DEPLOYMENTS]))
    options = {
        "labelSelector": _SELECTORS,
        "fieldSelector": _SELECTORS,
        "limit": some.one_of(some.integers(-2, 3).map(str), TEXTS),
        "resourceVersion": some.one_of(some.integers(0, 3).map(str), TEXTS),
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
    raw = draw(corrupted(dumped(draw(some.one_of(some.just(seed), spoiled(seed))))))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=" if draw(some.booleans()) else "")


def continue_token(value: Any) -> str:
    """The token that has this value in it."""
    return base64.urlsafe_b64encode(dumped(value)).decode().rstrip("=")


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
    query = f"{DRY}&timeoutSeconds=1&watch={draw(some.sampled_from(['0', 'x']))}"
    return Case(
        method, f"{base}{'/'.join(parts)}?{query}", body if method not in ("GET", "HEAD") else b"", "application/json"
    )

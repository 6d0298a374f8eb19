"""The parameters of operations, in both dialects of OpenAPI, and which operation takes which.

Names and types are upstream's; the texts are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Name, type and what it does.
_QUERY = {
    "allowWatchBookmarks": ("boolean", "Whether a watch sends bookmarks."),
    "command": ("string", "The command to run, its arguments by repetition of this parameter."),
    "container": ("string", "The container of the pod; may be left out where there is only one."),
    "continue": ("string", "Where a former answer stopped."),
    "dryRun": ("string", "'All': everything is done but the change is not kept."),
    "fieldManager": ("string", "The name under which the fields of this write are owned."),
    "fieldSelector": ("string", "Restricts the objects by their fields."),
    "fieldValidation": ("string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict."),
    "follow": ("boolean", "Whether the log is streamed as it is written."),
    "force": ("boolean", "Whether an apply takes over fields that others own."),
    "gracePeriodSeconds": ("integer", "How long the object has to end by itself."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean",
        "Whether an object that can't be read from the store is deleted without anything that deletion brings about.",
    ),
    "insecureSkipTLSVerifyBackend": ("boolean", "Whether the kubelet's certificate is believed unseen."),
    "labelSelector": ("string", "Restricts the objects by their labels."),
    "limit": ("integer", "How many objects an answer holds at most; the rest is fetched by `continue`."),
    "limitBytes": ("integer", "After how many bytes the log is cut off."),
    "orphanDependents": ("boolean", "Deprecated; use `propagationPolicy`."),
    "path": ("string", "The path, below the proxied address, that is asked for."),
    "ports": ("integer", "The ports to forward, for clients that speak WebSocket."),
    "pretty": ("string", "If 'true', the answer is indented."),
    "previous": ("boolean", "Whether the log is that of the container's former run."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "The moment that the answer must reflect at the earliest, or exactly."),
    "resourceVersionMatch": ("string", "How `resourceVersion` is meant for lists."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with all objects that exist."),
    "shardSelector": ("string", "Restricts the objects to a shard, where the server can (KEP-5866)."),
    "sinceSeconds": ("integer", "How far back the log begins."),
    "stderr": ("boolean", "Whether the standard error stream is connected."),
    "stdin": ("boolean", "Whether the standard input stream is connected."),
    "stdout": ("boolean", "Whether the standard output stream is connected."),
    "stream": ("string", "Which stream of the log: All, Stdout or Stderr."),
    "tailLines": ("integer", "How many lines from the log's end."),
    "timeoutSeconds": ("integer", "After how long a list or watch ends."),
    "timestamps": ("boolean", "Whether each line of the log begins with its time."),
    "tty": ("boolean", "Whether there is a terminal."),
    "watch": ("boolean", "Whether changes are streamed instead of a list."),
}
_PATH = {"name": "The name of the object.", "namespace": "The namespace of the object.", "path": "The path."}

WRITE = ("dryRun", "fieldManager", "fieldValidation", "pretty")
PATCH = (*WRITE, "force")
LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "pretty",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
    "watch",
)
DELETE = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "pretty",
    "propagationPolicy",
)
DELETE_COLLECTION = tuple(sorted({*LIST, *DELETE} - {"allowWatchBookmarks", "watch"}))
LOG = (
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "pretty",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
)
ATTACH = ("container", "stderr", "stdin", "stdout", "tty")


def made(path: Iterable[str], query: Iterable[str], *, v3: bool) -> list[dict[str, Any]]:
    """The parameters in the path and in the query, in order."""
    found = [_parameter(name, "path", "string", _PATH[name], v3=v3) | {"required": True} for name in path]
    found += [_parameter(name, "query", *_QUERY[name], v3=v3) for name in query]
    return sorted(found, key=order)


def order(parameter: Mapping[str, Any]) -> tuple[str, str]:
    """The key that parameters are sorted by."""
    return parameter["name"], parameter["in"]


def _parameter(name: str, place: str, kind: str, text: str, *, v3: bool) -> dict[str, Any]:
    shape = {"type": kind, "uniqueItems": True}
    return {"name": name, "in": place, "description": text, **({"schema": shape} if v3 else shape)}

"""Fetches what aggregated servers say that they serve, so that discovery here shows all of it in one document.

Asked for as KEP-3352's aggregated document, or version by version from servers that know no such thing. What a server
said last is shown, marked stale, while it can't be asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from keelson.api.meta import Object

from .remotes import Remote, RemoteError
from .routes import Routes

log = logging.getLogger(__name__)

CURRENT, STALE = "Current", "Stale"
_ACCEPT = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
_FETCH_SECONDS = 5.0
_REFRESH_SECONDS = 30.0
_FIRST_RETRY_SECONDS = 0.5


class RemoteVersion(NamedTuple):
    """A group and version that another server serves, and what is known of it (an APIVersionDiscovery)."""

    group: str
    version: str
    group_priority: int
    version_priority: int
    entry: Object


def of_resource_list(listed: Mapping[str, Any], group: str, version: str) -> list[Object]:
    """The APIResourceDiscovery rows that an APIResourceList amounts to. Pure; raises KeyError, TypeError for others."""
    rows: dict[str, Object] = {}
    subresources: list[tuple[str, Object]] = []
    for each in listed.get("resources") or ():
        kind: Object = {
            "group": each.get("group") or group,
            "version": each.get("version") or version,
            "kind": each["kind"],
        }
        name, slash, sub = each["name"].partition("/")
        if slash:
            subresources.append((name, {"subresource": sub, "responseKind": kind, "verbs": list(each["verbs"])}))
            continue
        row: Object = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if each.get("namespaced") else "Cluster",
            "singularResource": each.get("singularName") or "",
            "verbs": list(each["verbs"]),
        }
        for field in ("shortNames", "categories"):
            if each.get(field):
                row[field] = list(each[field])
        rows[name] = row
    for name, found in subresources:
        if name in rows:
            rows[name].setdefault("subresources", []).append(found)
    return list(rows.values())


def of_aggregated(document: Mapping[str, Any], group: str, version: str) -> list[Object]:
    """The rows of one version in an APIGroupDiscoveryList, [] where it is not there. Pure."""
    for item in document.get("items") or ():
        if ((item.get("metadata") or {}).get("name") or "") != group:
            continue
        for each in item.get("versions") or ():
            if each.get("version") == version:
                return [_with_kinds(row) for row in each.get("resources") or ()]
    return []


_KIND = ("group", "version", "kind")


def _with_kinds(row: Mapping[str, Any]) -> Object:
    """The row with a responseKind everywhere: clients of 1.26 crash without."""
    found: Object = {**row, "responseKind": row.get("responseKind") or dict.fromkeys(_KIND, "")}
    if row.get("subresources"):
        found["subresources"] = [
            {**each, "responseKind": each.get("responseKind") or dict.fromkeys(_KIND, "")}
            for each in row["subresources"]
        ]
    return found


def typed(rows: list[Object]) -> list[Object]:
    """The rows, whose fields have the types that clients decode them into. Pure; raises TypeError where one has not.

    Clients read the rows of all servers as one document: what they can't read of one would take all from them.
    """
    for row in rows:
        _check(row, ("resource", "scope", "singularResource"), ("verbs", "shortNames", "categories"))
        for each in row.get("subresources") or ():
            _check(each, ("subresource",), ("verbs",))
    return rows


def _check(row: Object, texts: Sequence[str], lists: Sequence[str]) -> None:
    kind = row["responseKind"]
    told = [*(row.get(field, "") for field in texts), *(kind.get(field, "") for field in _KIND)]
    for field in lists:
        values = row.get(field) or []
        if not isinstance(values, list):
            raise TypeError(f"{field} is no list")
        told += values
    if not all(isinstance(each, str) for each in told):
        raise TypeError(f"a field of {row.get('resource', row)!r:.100} is no text")


class Discoveries:
    """What is known of every remote group and version. `generation` is raised with every change of it."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._found: dict[str, RemoteVersion] = {}
        self._tasks: dict[str, tuple[Remote, asyncio.Task[None]]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self.generation = 0
        # Called for a remote that answered: others have documents to fetch of it too.
        self.observers: list[Callable[[Remote], None]] = []

    def versions(self) -> list[RemoteVersion]:
        """Every remote group and version."""
        return list(self._found.values())

    def start(self) -> None:
        """Follow the routes; must run on the event loop."""
        self._routes.observers.append(self._observe)
        self._observe({remote.name for remote in self._routes.remotes()})

    def stop(self) -> None:
        """End the workers."""
        for _, task in self._tasks.values():
            task.cancel()

    def _observe(self, names: set[str]) -> None:
        for name in names:
            remote = self._routes.remote(name)
            held = self._tasks.get(name)
            if held is not None and held[0] is remote:
                # Its availability may have changed.
                self._changed[name].set()
                continue
            if held is not None:
                held[1].cancel()
                del self._tasks[name], self._changed[name]
                if self._found.pop(name, None) is not None:
                    self.generation += 1
            if remote is not None:
                self._changed[name] = asyncio.Event()
                self._tell(remote, [], STALE)
                self._tasks[name] = (remote, asyncio.create_task(self._follow(remote)))

    def _tell(self, remote: Remote, rows: list[Object] | None, freshness: str) -> None:
        known = self._found.get(remote.name)
        if rows is None:
            rows = known.entry["resources"] if known is not None else []
        entry: Object = {"version": remote.version, "resources": rows, "freshness": freshness}
        made = RemoteVersion(remote.group, remote.version, remote.group_priority, remote.version_priority, entry)
        if made != known:
            self._found[remote.name] = made
            self.generation += 1

    async def _follow(self, remote: Remote) -> None:
        changed = self._changed[remote.name]
        pause = _FIRST_RETRY_SECONDS
        while True:
            changed.clear()
            try:
                rows = await _rows(remote)
            except (RemoteError, ValueError, KeyError, TypeError, AttributeError) as error:
                log.info("discovery of %s: %s", remote.name, error)
                self._tell(remote, None, STALE)
                pause = min(pause * 2, _REFRESH_SECONDS)
            else:
                self._tell(remote, rows, CURRENT)
                pause = _REFRESH_SECONDS
                for observe in self.observers:
                    observe(remote)
            try:
                async with asyncio.timeout(pause):
                    await changed.wait()
                    pause = _FIRST_RETRY_SECONDS
            except TimeoutError:
                continue


async def _rows(remote: Remote) -> list[Object]:
    """What the server serves of its group and version. Raises RemoteError, or what strange documents raise."""
    if not remote.available:
        raise RemoteError("service unavailable")
    if remote.group:
        answer = await remote.fetch("/apis", accept=_ACCEPT, seconds=_FETCH_SECONDS)
        if answer.status == 503:
            raise RemoteError("service returned non-success response code: 503")
        if answer.status == 200 and "as=APIGroupDiscoveryList" in answer.content_type:
            return typed(of_aggregated(orjson.loads(answer.body), remote.group, remote.version))
    answer = await remote.fetch(remote.path, seconds=_FETCH_SECONDS)
    if answer.status != 200:
        raise RemoteError(f"failed to download legacy discovery for {remote.path}: {answer.status}")
    return typed(of_resource_list(orjson.loads(answer.body), remote.group, remote.version))

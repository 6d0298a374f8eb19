"""Discovery: what the server serves, group by group and all at once (KEP-3352, apidiscovery.k8s.io/v2).

The document of /apis in v2 tells of peers too, unless it is asked for with profile=nopeer (KEP-4020). Documents are
made from the catalogue when first asked for and kept until the catalogue changes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import orjson

from keelson.api.meta import Object

from .aggregation import priorities
from .aggregation.discoveries import Discoveries, RemoteVersion
from .aggregation.priorities import Priority
from .peers.proxies import Peers
from .registry.catalogues import Catalogue, Served
from .serving.negotiation import preferences

_AGGREGATED_VERSIONS = ("v2", "v2beta1")

# Subresources whose kind is not their resource's own, with the verbs that they take.
_OWN_KIND = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "log": ("", "", "", ("get",)),
    "finalize": ("", "", "", ("update",)),
}
_PROXY_KIND = {"pods": "PodProxyOptions", "services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"}
_PROXY_VERBS = ("create", "delete", "get", "patch", "update")


def _subresource(served: Served, name: str) -> tuple[Object, tuple[str, ...]]:
    """(response kind with group and version, verbs)."""
    resource = served.resource
    own = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    if name == "proxy":
        kind = _PROXY_KIND.get(resource.plural, resource.kind)
        return {"group": "", "version": "v1", "kind": kind}, _PROXY_VERBS
    if name in _OWN_KIND:
        group, version, kind, verbs = _OWN_KIND[name]
        return ({"group": group, "version": version, "kind": kind} if kind else own), verbs
    return own, ("get", "patch", "update")


def _hash(served: Served) -> str:
    """The storageVersionHash, by which clients see that objects are to be written anew in another version."""
    group, _, version = served.stored_api_version.rpartition("/")
    text = f"{group}/{served.extras.get('storedVersion') or version}/{served.resource.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _aggregated_version(accept: str) -> tuple[str, bool]:
    """The version of the aggregated document that a client prefers, and whether peers are to be left out of it.

    The version is "" where it wants the plain one.
    """
    if "APIGroupDiscoveryList" not in accept:
        return "", False
    for media, parameters, quality in preferences(accept):
        if media != "application/json" or not quality:
            continue
        if "as" not in parameters:
            return "", False
        if (parameters["as"], parameters.get("g")) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io"):
            version = parameters.get("v", "")
            if version in _AGGREGATED_VERSIONS:
                return version, parameters.get("profile") == "nopeer"
    return "", False


class _Documents:
    """Everything that one generation of the catalogue yields."""

    def __init__(self, catalogue: Catalogue, remotes: Iterable[RemoteVersion], generation: tuple[int, int]) -> None:
        self.generation = generation
        self._remote = {(each.group, each.version): each for each in remotes}
        self._by_version: dict[tuple[str, str], list[Served]] = {}
        priority_of: dict[tuple[str, str], Priority] = {
            key: Priority(each.group_priority, each.version_priority) for key, each in self._remote.items()
        }
        for served in catalogue:
            resource = served.resource
            key = (resource.group, resource.version)
            if key not in self._remote:
                self._by_version.setdefault(key, []).append(served)
                priority_of[key] = priorities.built_in(*key) or priorities.CUSTOM
        # The highest priority of any of a group's versions is the group's (APIService, groupPriorityMinimum).
        highest: dict[str, int] = {}
        versions: dict[str, list[str]] = {}
        for (group, version), priority in priority_of.items():
            highest[group] = max(priority.group, highest.get(group, 0))
            versions.setdefault(group, []).append(version)
        for group, found in versions.items():
            found.sort(key=lambda each: (-priority_of[group, each].version, priorities.version_key(each)))
        self.versions = dict(sorted(versions.items(), key=lambda pair: (-highest[pair[0]], pair[0])))

    def group(self, name: str) -> Object | None:
        """The APIGroup of one group."""
        versions = self.versions.get(name)
        if versions is None or not name:
            return None
        shown = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": name,
            "versions": shown,
            "preferredVersion": shown[0],
        }

    @cached_property
    def groups(self) -> bytes:
        """The APIGroupList of /apis."""
        shown = []
        for name in self.versions:
            if name:
                group = self.group(name) or {}
                shown.append({key: value for key, value in group.items() if key not in ("kind", "apiVersion")})
        return orjson.dumps({"kind": "APIGroupList", "apiVersion": "v1", "groups": shown})

    def resources(self, group: str, version: str) -> Object | None:
        """The APIResourceList of one version."""
        served = self._by_version.get((group, version))
        if served is None:
            return None
        rows: list[Object] = []
        for each in served:
            resource = each.resource
            row: Object = {
                "name": resource.plural,
                "singularName": resource.singular,
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": list(resource.verbs),
            }
            if resource.short_names:
                row["shortNames"] = list(resource.short_names)
            if resource.categories:
                row["categories"] = list(resource.categories)
            if each.is_stored:
                row["storageVersionHash"] = _hash(each)
            rows.append(row)
            for name in resource.subresources:
                kind, verbs = _subresource(each, name)
                sub: Object = {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    "kind": kind["kind"],
                    "verbs": list(verbs),
                }
                if (kind["group"], kind["version"]) != (group, version):
                    sub = {"group": kind["group"], "version": kind["version"], **sub}
                    if not kind["group"]:
                        del sub["group"]
                rows.append(sub)
        group_version = f"{group}/{version}" if group else version
        # Subresources stay in their resource's order, which for a CRD is status before scale.
        rows.sort(key=lambda row: row["name"].partition("/")[0])
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}

    def aggregated(self, *, legacy: bool) -> list[Object]:
        """The items of the APIGroupDiscoveryList of /api or /apis."""
        items: list[Object] = []
        for group, versions in self.versions.items():
            if (group == "") != legacy:
                continue
            shown = []
            for version in versions:
                if (group, version) in self._remote:
                    shown.append(self._remote[group, version].entry)
                    continue
                rows = [self._aggregated_row(each) for each in self._by_version.get((group, version), ())]
                rows.sort(key=lambda row: row["resource"])
                shown.append({"version": version, "resources": rows, "freshness": "Current"})
            metadata: Object = {"creationTimestamp": None}
            if group:
                metadata["name"] = group
            items.append({"metadata": metadata, "versions": shown})
        return items

    def _aggregated_row(self, each: Served) -> Object:
        resource = each.resource
        row: Object = {
            "resource": resource.plural,
            "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": resource.singular,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            row["shortNames"] = list(resource.short_names)
        if resource.categories:
            row["categories"] = list(resource.categories)
        if resource.subresources:
            row["subresources"] = []
            for name in resource.subresources:
                kind, verbs = _subresource(each, name)
                row["subresources"].append({"subresource": name, "responseKind": kind, "verbs": list(verbs)})
        return row


class Discovery:
    """The discovery documents of a catalogue that may change."""

    def __init__(self, catalogue: Catalogue, remotes: Discoveries, peers: Peers | None = None) -> None:
        self._catalogue = catalogue
        self._remotes = remotes
        self._peers = peers
        self._documents: _Documents | None = None
        # By (whether of /api, version, whether with peers): the generation, the document and its ETag.
        self._aggregated: dict[tuple[bool, str, bool], tuple[tuple[int, ...], bytes, str]] = {}

    @property
    def _current(self) -> _Documents:
        generation = (self._catalogue.generation, self._remotes.generation)
        if self._documents is None or self._documents.generation != generation:
            self._documents = _Documents(self._catalogue, self._remotes.versions(), generation)
        return self._documents

    def _whole(self, documents: _Documents, version: str, *, legacy: bool, peered: bool) -> tuple[bytes, str]:
        """An APIGroupDiscoveryList in v2 or v2beta1, which differ in nothing else, and its ETag."""
        generation: tuple[int, ...] = documents.generation
        peers = self._peers if peered else None
        if peers is not None:
            generation = (*generation, peers.generation)
        held = self._aggregated.get((legacy, version, peered))
        if held is None or held[0] != generation:
            items = documents.aggregated(legacy=legacy)
            document = {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": f"apidiscovery.k8s.io/{version}",
                "metadata": {},
                "items": items if peers is None else peers.merged(items),
            }
            body = orjson.dumps(document)
            etag = '"' + hashlib.sha256(body).hexdigest().upper() + '"'
            held = self._aggregated[legacy, version, peered] = (generation, body, etag)
        return held[1], held[2]

    def answer(self, parts: list[str], accept: str, server_address: str) -> tuple[Any, str, str] | None:
        """(document as bytes, its media type, its ETag) at /api… or /apis…, None where there is none."""
        legacy = parts[0] == "api"
        documents = self._current
        if len(parts) == 1:
            version, alone = _aggregated_version(accept)
            if version:
                # Peers are told of in /apis alone, and only in the stable form of the document.
                peered = self._peers is not None and not alone and not legacy and version == "v2"
                body, etag = self._whole(documents, version, legacy=legacy, peered=peered)
                profile = ";profile=nopeer" if alone else ""
                media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList{profile}"
                return body, media, etag
            if legacy:
                versions: Object = {
                    "kind": "APIVersions",
                    "versions": ["v1"],
                    "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
                }
                return orjson.dumps(versions), "application/json", ""
            return documents.groups, "application/json", ""
        found: Object | None = None
        if legacy and len(parts) == 2:
            found = documents.resources("", parts[1])
        elif not legacy and len(parts) == 2:
            found = documents.group(parts[1])
        elif not legacy and len(parts) == 3:
            found = documents.resources(parts[1], parts[2])
        return None if found is None else (orjson.dumps(found), "application/json", "")

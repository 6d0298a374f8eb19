"""Discovery: which resources a server has now, custom and aggregated ones included (API concepts, "Discovery")."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson

from keelson.api import errors
from keelson.api.resources import Resource

from .rest import Client

log = logging.getLogger(__name__)


async def resources(client: Client) -> tuple[list[Resource], list[str]]:
    """(resources in their group's preferred version, group-versions that did not answer).

    Raises StatusError where the server itself does not answer.
    """
    groups = orjson.loads(await client.request("GET", "/apis"))["groups"]
    wanted = ["v1"]
    for group in groups:
        preferred = group["preferredVersion"]["groupVersion"]
        others = [found["groupVersion"] for found in group["versions"] if found["groupVersion"] != preferred]
        wanted += [preferred, *others]
    answers = await asyncio.gather(*(_of_version(client, found) for found in wanted), return_exceptions=True)
    found: dict[tuple[str, str], Resource] = {}
    failed = []
    for group_version, answer in zip(wanted, answers, strict=True):
        if isinstance(answer, errors.StatusError):
            log.warning("discovery of %s: %s", group_version, answer.message)
            failed.append(group_version)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            for one in answer:
                found.setdefault((one.group, one.plural), one)
    return list(found.values()), failed


async def _of_version(client: Client, group_version: str) -> list[Resource]:
    path = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    answer = orjson.loads(await client.request("GET", path))
    return [_resource(group_version, entry) for entry in answer["resources"] if "/" not in entry["name"]]


def _resource(group_version: str, entry: dict[str, Any]) -> Resource:
    group, _, version = group_version.rpartition("/")
    return Resource(
        group=group,
        version=version,
        kind=entry["kind"],
        plural=entry["name"],
        namespaced=bool(entry["namespaced"]),
        singular=entry.get("singularName") or entry["kind"].lower(),
        verbs=tuple(entry.get("verbs") or ()),
    )

"""From volume sources whose content the API holds to the files in them. Pure but for what its arguments fetched.

Rules: ConfigMap, Secret, downward API and projected volumes of the Volumes documentation and API reference.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from keelson.api.meta import Object
from keelson.kubelet.decisions.environments import Sources, field_value, resource_value

from .payloads import File

_DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume that can't be set up now: the pod waits, with an event FailedMount."""


def _items(
    content: Mapping[str, bytes], source: Mapping[str, Any], mode: int, what: str, *, owner: int
) -> dict[str, File]:
    items = source.get("items")
    if not items:
        return {key: File(value, mode, owner) for key, value in content.items()}
    result = {}
    for item in items:
        if item["key"] not in content:
            if source.get("optional"):
                continue
            raise VolumeError(f"{what} references non-existent key: {item['key']}")
        result[item["path"]] = File(content[item["key"]], _mode(item.get("mode"), mode), owner)
    return result


def _mode(stated: int | None, default: int) -> int:
    return default if stated is None else stated


def config_map_content(found: Object) -> dict[str, bytes]:
    """All keys of a ConfigMap as bytes."""
    result = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    for key, value in (found.get("binaryData") or {}).items():
        try:
            result[key] = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise VolumeError(f"binaryData {key} is not base64") from error
    return result


def config_map(source: Mapping[str, Any], name: str, sources: Sources, *, mode: int, owner: int) -> dict[str, File]:
    """The files of a ConfigMap."""
    found = sources.config_maps.get(name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    return _items(config_map_content(found), source, mode, "configmap", owner=owner)


def secret(source: Mapping[str, Any], name: str, sources: Sources, *, mode: int, owner: int) -> dict[str, File]:
    """The files of a Secret."""
    found = sources.secrets.get(name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found')
    return _items(found, source, mode, "secret", owner=owner)


def downward(
    pod: Object, items: Sequence[Mapping[str, Any]], sources: Sources, *, mode: int, owner: int
) -> dict[str, File]:
    """The files of the downward API."""
    result = {}
    for item in items:
        if (reference := item.get("fieldRef")) is not None:
            text = field_value(pod, reference["fieldPath"], sources)
        else:
            text = resource_value(pod, {}, item["resourceFieldRef"], sources.allocatable)
        result[item["path"]] = File(text.encode(), _mode(item.get("mode"), mode), owner)
    return result


def files(
    pod: Object, volume: Mapping[str, Any], sources: Sources, tokens: Mapping[tuple[str, int], bytes]
) -> dict[str, File]:
    """The files of a configMap, secret, downwardAPI or projected volume; VolumeError where something is missing.

    `tokens` are service account tokens by (audience, expiration in seconds).
    """
    owner = _owner(pod)
    if (source := volume.get("configMap")) is not None:
        mode = _mode(source.get("defaultMode"), _DEFAULT_MODE)
        return config_map(source, source.get("name", ""), sources, mode=mode, owner=-1)
    if (source := volume.get("secret")) is not None:
        mode = _mode(source.get("defaultMode"), _DEFAULT_MODE)
        return secret(source, source["secretName"], sources, mode=mode, owner=-1)
    if (source := volume.get("downwardAPI")) is not None:
        mode = _mode(source.get("defaultMode"), _DEFAULT_MODE)
        return downward(pod, source.get("items") or [], sources, mode=mode, owner=-1)
    projected = volume["projected"]
    mode = _mode(projected.get("defaultMode"), _DEFAULT_MODE)
    result: dict[str, File] = {}
    for each in projected.get("sources") or []:
        if (source := each.get("configMap")) is not None:
            result |= config_map(source, source.get("name", ""), sources, mode=mode, owner=-1)
        elif (source := each.get("secret")) is not None:
            result |= secret(source, source.get("name", ""), sources, mode=mode, owner=-1)
        elif (source := each.get("downwardAPI")) is not None:
            result |= downward(pod, source.get("items") or [], sources, mode=mode, owner=-1)
        elif (source := each.get("serviceAccountToken")) is not None:
            token = tokens[token_key(source)]
            # A token is for one reader: the pod's user, or its group where there is one, or root.
            private = 0o600 if owner >= 0 else mode
            result[source["path"]] = File(token, private, owner)
        else:
            raise VolumeError(f"projected source {next(iter(each), 'of no kind')} is not supported by this node")
    return result


def token_key(source: Mapping[str, Any]) -> tuple[str, int]:
    """(audience, seconds) of a serviceAccountToken source."""
    return source.get("audience") or "", int(source.get("expirationSeconds") or 3600)


def token_sources(pod: Object) -> set[tuple[str, int]]:
    """The tokens that the pod's volumes ask for."""
    return {
        token_key(source["serviceAccountToken"])
        for volume in pod["spec"].get("volumes") or []
        for source in (volume.get("projected") or {}).get("sources") or []
        if source.get("serviceAccountToken") is not None
    }


def _owner(pod: Object) -> int:
    """The user that every container runs as, -1 where they differ or do not say, or where a group does the sharing."""
    spec = pod["spec"]
    shared = spec.get("securityContext") or {}
    if shared.get("fsGroup") is not None:
        return -1
    users = {
        (container.get("securityContext") or {}).get("runAsUser", shared.get("runAsUser"))
        for container in [*(spec.get("initContainers") or []), *spec["containers"]]
    }
    only = next(iter(users)) if len(users) == 1 else None
    return -1 if only is None else int(only)

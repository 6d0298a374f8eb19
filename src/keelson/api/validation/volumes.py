"""The rules for the volumes of a pod (core/v1 Volume)."""

from __future__ import annotations

from typing import Any

from keelson.api.meta import Object
from keelson.api.validation import causes, names, resources
from keelson.api.validation.causes import Causes
from keelson.api.validation.containers import field_reference, sub_path

_HOST_PATH_TYPES = frozenset(
    {"", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"}
)
_MEDIA = ("", "Memory", "HugePages")
_DOWNWARD_FIELDS = frozenset(
    {"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"}
)
_PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def _mode(out: Causes, path: str, mode: Any) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        out.append(causes.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive"))


def _items(out: Causes, path: str, items: list[Object]) -> None:
    for index, item in enumerate(items):
        if not item.get("key"):
            out.append(causes.required(f"{path}[{index}].key"))
        _item_path(out, f"{path}[{index}].path", item.get("path"))
        _mode(out, f"{path}[{index}].mode", item.get("mode"))


def _item_path(out: Causes, path: str, text: str | None) -> None:
    if not text:
        out.append(causes.required(path))
        return
    sub_path(out, path, text)
    if text.startswith("..") and ".." not in text.split("/"):
        out.append(causes.invalid(path, text, "must not start with '..'"))


def _downward(out: Causes, path: str, items: list[Object]) -> None:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        _item_path(out, f"{where}.path", item.get("path"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            field_reference(out, f"{where}.fieldRef", field, _DOWNWARD_FIELDS)
            if resource is not None:
                out.append(
                    causes.invalid(
                        where, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
                    )
                )
        elif resource is None:
            out.append(causes.required(where, "one of fieldRef and resourceFieldRef is required"))
        elif not resource.get("containerName"):
            out.append(causes.required(f"{where}.resourceFieldRef.containerName"))
        _mode(out, f"{where}.mode", item.get("mode"))


def _host_path(out: Causes, path: str, source: Object) -> None:
    text = source.get("path")
    if not text:
        out.append(causes.required(f"{path}.path"))
    elif ".." in text.split("/"):
        out.append(causes.invalid(f"{path}.path", text, "must not contain '..'"))
    if source.get("type") not in _HOST_PATH_TYPES:
        out.append(causes.unsupported(f"{path}.type", source.get("type"), _HOST_PATH_TYPES))


def _empty_dir(out: Causes, path: str, source: Object) -> None:
    medium = source.get("medium") or ""
    if medium not in _MEDIA and not medium.startswith("HugePages-"):
        out.append(causes.unsupported(f"{path}.medium", medium, _MEDIA))
    limit = source.get("sizeLimit")
    if limit is not None and resources.amount(limit) < 0:
        out.append(causes.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def _named(out: Causes, path: str, source: Object, field: str) -> None:
    if not source.get(field):
        out.append(causes.required(f"{path}.{field}"))
    _mode(out, f"{path}.defaultMode", source.get("defaultMode"))
    if source.get("items"):
        _items(out, f"{path}.items", source["items"])


def _projected(out: Causes, path: str, source: Object) -> None:
    if not 0 <= source.get("defaultMode", 0) <= 0o777:
        _mode(out, f"{path}.defaultMode", source["defaultMode"])
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        given = [kind for kind in _PROJECTIONS if kind in projection]
        if not given:
            out.append(causes.required(where, "must specify at least 1 volume type"))
            continue
        for extra in given[1:]:
            out.append(causes.forbidden(f"{where}.{extra}", "may not specify more than 1 volume type per source"))
        kind = given[0]
        found = projection[kind]
        where = f"{where}.{kind}"
        if kind in ("secret", "configMap"):
            if not found.get("name"):
                out.append(causes.required(f"{where}.name"))
            if found.get("items"):
                _items(out, f"{where}.items", found["items"])
        elif kind == "downwardAPI":
            _downward(out, f"{where}.items", found.get("items") or [])
        elif kind == "serviceAccountToken":
            seconds = found.get("expirationSeconds", 3600)
            if seconds < 600:
                detail = "may not specify a duration less than 10 minutes"
                out.append(causes.invalid(f"{where}.expirationSeconds", seconds, detail))
            elif seconds > 1 << 32:
                detail = "may not specify a duration larger than 2^32 seconds"
                out.append(causes.invalid(f"{where}.expirationSeconds", seconds, detail))
            _item_path(out, f"{where}.path", found.get("path"))


def _source(out: Causes, path: str, kind: str, source: Object) -> None:
    match kind:
        case "emptyDir":
            _empty_dir(out, path, source)
        case "hostPath":
            _host_path(out, path, source)
        case "secret":
            _named(out, path, source, "secretName")
        case "configMap":
            _named(out, path, source, "name")
        case "projected":
            _projected(out, path, source)
        case "downwardAPI":
            _mode(out, f"{path}.defaultMode", source.get("defaultMode"))
            _downward(out, f"{path}.items", source.get("items") or [])
        case "persistentVolumeClaim":
            if not source.get("claimName"):
                out.append(causes.required(f"{path}.claimName"))
        case "ephemeral":
            if not source.get("volumeClaimTemplate"):
                out.append(causes.required(f"{path}.volumeClaimTemplate"))
        case "csi":
            if not source.get("driver"):
                out.append(causes.required(f"{path}.driver"))
        case "nfs":
            for field in ("server", "path"):
                if not source.get(field):
                    out.append(causes.required(f"{path}.{field}"))
        case "image":
            if source.get("pullPolicy") not in ("Always", "IfNotPresent", "Never"):
                supported = ("Always", "IfNotPresent", "Never")
                out.append(causes.unsupported(f"{path}.pullPolicy", source.get("pullPolicy"), supported))


def volumes(out: Causes, path: str, found: list[Object]) -> tuple[set[str], set[str]]:
    """The volumes of a pod; returns the names that containers may mount, and those they may use as devices."""
    seen: set[str] = set()
    devices: set[str] = set()
    for index, volume in enumerate(found):
        where = f"{path}[{index}]"
        name = volume.get("name")
        if not name:
            out.append(causes.required(f"{where}.name"))
        else:
            complaint = names.dns_label(name)
            if complaint:
                out.append(causes.invalid(f"{where}.name", name, complaint))
            elif name in seen:
                out.append(causes.duplicate(f"{where}.name", name))
            seen.add(name)
        kinds = [key for key in volume if key != "name"]
        if not kinds:
            out.append(causes.required(where, "must specify a volume type"))
            continue
        for extra in kinds[1:]:
            out.append(causes.forbidden(f"{where}.{extra}", "may not specify more than 1 volume type"))
        kind = kinds[0]
        if kind in ("persistentVolumeClaim", "ephemeral") and name:
            devices.add(name)
        _source(out, f"{where}.{kind}", kind, volume[kind])
    return seen, devices

"""The rules for data that workloads read (core/v1 ConfigMap, Secret)."""

from __future__ import annotations

import base64
import binascii

import orjson

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import causes, names
from keelson.api.validation.causes import Causes

MAX_DATA = 1024 * 1024
_IMMUTABLE_DATA = "field is immutable when `immutable` is set"
_SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"


def _keys(out: Causes, path: str, found: Object) -> None:
    for key in found:
        complaint = names.config_key(key)
        if complaint:
            out.append(causes.invalid(f"{path}[{key}]", key, complaint))


def create_config_map(obj: Object) -> Causes:
    """A ConfigMap: every key once, a mebibyte in all."""
    out: Causes = []
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    _keys(out, "data", data)
    _keys(out, "binaryData", binary)
    for key in binary:
        if key in data:
            out.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    size = sum(len(value.encode()) for value in data.values()) + sum(_decoded_size(value) for value in binary.values())
    if size > MAX_DATA:
        out.append(causes.too_long("", MAX_DATA))
    return out


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text.count("=", -2 if len(text) > 1 else 0)


def _frozen(out: Causes, new: Object, old: Object, fields: tuple[str, ...]) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        out.append(causes.forbidden("immutable", _IMMUTABLE_DATA))
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            out.append(causes.forbidden(field, _IMMUTABLE_DATA))


def update_config_map(new: Object, old: Object) -> Causes:
    """A change of a ConfigMap, which may have been frozen."""
    out: Causes = []
    _frozen(out, new, old, ("data", "binaryData"))
    return out + create_config_map(new)


_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def create_secret(obj: Object) -> Causes:
    """A Secret: keys by its type, a mebibyte in all."""
    out: Causes = []
    data = obj.get("data") or {}
    _keys(out, "data", data)
    if sum(_decoded_size(value) for value in data.values()) > MAX_DATA:
        out.append(causes.too_long("data", MAX_DATA))
    kind = obj.get("type")
    for key in _REQUIRED_KEYS.get(kind or "", ()):
        if key not in data:
            out.append(causes.required(f"data[{key}]"))
        elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
            try:
                orjson.loads(base64.b64decode(data[key]))
            except (orjson.JSONDecodeError, binascii.Error) as error:
                out.append(causes.invalid(f"data[{key}]", "<secret contents redacted>", str(error)))
    if kind == "kubernetes.io/basic-auth" and not ("username" in data or "password" in data):
        out.append(causes.required("data[username]"))
        out.append(causes.required("data[password]"))
    if kind == "kubernetes.io/service-account-token" and not meta.annotations(obj).get(_SERVICE_ACCOUNT_NAME):
        out.append(causes.required(f"metadata.annotations[{_SERVICE_ACCOUNT_NAME}]"))
    return out


def update_secret(new: Object, old: Object) -> Causes:
    """A change of a Secret: its type is for life, and it may have been frozen."""
    out: Causes = []
    causes.unchanged(out, "type", new.get("type"), old.get("type"))
    _frozen(out, new, old, ("data",))
    return out + create_secret(new)


CREATE = {
    ("v1", "ConfigMap"): create_config_map,
    ("v1", "Secret"): create_secret,
}
UPDATE = {
    ("v1", "ConfigMap", ""): update_config_map,
    ("v1", "Secret", ""): update_secret,
}

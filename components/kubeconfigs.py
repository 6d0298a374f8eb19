"""Kubeconfig files (client-go's `v1.Config`), for the daemons, for joining kubelets and for the operator. Pure."""

from __future__ import annotations

import base64
from typing import Any

import yaml


def by_certificate(*, cluster: str, server: str, authority: str, user: str, certificate: str, key: str) -> str:
    """A kubeconfig whose user proves itself by a client certificate; certificate, key and authority are PEM."""
    credentials = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    return _write(cluster, server, authority, user, credentials)


def by_token(*, cluster: str, server: str, authority: str, user: str, token: str) -> str:
    """A kubeconfig whose user proves itself by a bearer token, such as a bootstrap token."""
    return _write(cluster, server, authority, user, {"token": token})


def _write(cluster: str, server: str, authority: str, user: str, credentials: dict[str, str]) -> str:
    context = f"{user}@{cluster}"
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(authority)}}
        ],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()

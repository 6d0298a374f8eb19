"""ServiceAccount: every pod runs as an account of its namespace, with a bound token mounted (KEP-1205, KEP-2799)."""

from __future__ import annotations

import secrets
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object

from .chains import CREATE, Attributes
from .lookups import Lookups

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_VOLUME = "kube-api-access-"
# Just over an hour: kubelets ask for a new token at 80 % of the time, so one hour is always left.
_SECONDS = 3607
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccounts:
    """Reads service accounts; writes spec.serviceAccountName, volumes, mounts and imagePullSecrets of pods."""

    name = "ServiceAccount"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Give a new pod its account, token volume and pull secrets. 403 where the account does not exist."""
        pod = self._pod(attributes)
        if pod is None:
            return
        spec = pod["spec"]
        account = await self._account(attributes, spec)
        if _wants_token(spec, account):
            _mount(spec, "".join(secrets.choice(_LETTERS) for _ in range(5)))
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(found) for found in account["imagePullSecrets"]]

    async def validate(self, attributes: Attributes) -> None:
        """Mirror pods take neither accounts nor secrets; an account may limit the secrets that its pods mount."""
        if attributes.operation != CREATE or attributes.qualified != "pods" or attributes.object is None:
            return
        pod = attributes.object
        if MIRROR in meta.annotations(pod):
            _check_mirror(pod)
            return
        account = await self._account(attributes, pod["spec"])
        if meta.annotations(account).get(_ENFORCE) == "true":
            _check_secrets(pod, account)

    def _pod(self, attributes: Attributes) -> Object | None:
        if attributes.operation != CREATE or attributes.qualified != "pods" or attributes.object is None:
            return None
        return None if MIRROR in meta.annotations(attributes.object) else attributes.object

    async def _account(self, attributes: Attributes, spec: Object) -> Object:
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._lookups.get("serviceaccounts", attributes.namespace, name)
        if account is None:
            raise errors.forbidden(
                "pods",
                attributes.name,
                f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found',
            )
        return account


def _wants_token(spec: Object, account: Object) -> bool:
    for holder in (spec, account):
        stated = holder.get("automountServiceAccountToken")
        if stated is not None:
            return bool(stated)
    return True


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _mount(spec: Object, suffix: str) -> None:
    found = [v["name"] for v in spec.get("volumes") or [] if str(v.get("name", "")).startswith(_VOLUME)]
    bare = [c for c in _containers(spec) if all(m.get("mountPath") != MOUNT for m in c.get("volumeMounts") or [])]
    if not bare:
        return
    name = found[0] if found else f"{_VOLUME}{suffix}"
    if not found:
        spec.setdefault("volumes", []).append({"name": name, "projected": _projection()})
    for container in bare:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT}
        container.setdefault("volumeMounts", []).append(mount)


def _projection() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": _SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
    }


def _check_mirror(pod: Object) -> None:
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise errors.forbidden("pods", meta.name(pod), "a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or []:
        sources = (volume.get("projected") or {}).get("sources") or []
        if "secret" in volume or any("secret" in s or "serviceAccountToken" in s for s in sources):
            raise errors.forbidden("pods", meta.name(pod), "a mirror pod may not reference secrets")


def _check_secrets(pod: Object, account: Object) -> None:
    allowed = {found.get("name") for found in account.get("secrets") or []}
    spec = pod["spec"]
    used = [str((volume.get("secret") or {}).get("secretName") or "") for volume in spec.get("volumes") or []]
    for container in [*_containers(spec), *(spec.get("ephemeralContainers") or [])]:
        used += [str((s.get("secretRef") or {}).get("name") or "") for s in container.get("envFrom") or []]
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
            used.append(str(reference.get("name") or ""))
    for name in used:
        if name and name not in allowed:
            why = f'secret "{name}" is not one that service account {meta.name(account)} lets its pods use'
            raise errors.forbidden("pods", meta.name(pod), why)

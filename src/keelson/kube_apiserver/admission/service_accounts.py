"""ServiceAccount: every pod runs as an account of its namespace, with a bound token mounted (KEP-1205, KEP-2799)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.authorization.nodes import references

from .chains import CREATE, UPDATE, Attributes
from .lookups import Lookups

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_VOLUME = "kube-api-access-"
# Just over an hour: kubelets ask for a new token at 80 % of the time, so one hour is always left.
_SECONDS = 3607
# The default account of a new namespace is waited for, as long as upstream waits.
_ATTEMPTS, _PAUSE = 10, 0.15
_TRUE = ("true", "t", "1")
_LASTING = {"initContainers": "init container", "containers": "container"}
_EPHEMERAL = {"ephemeralContainers": "ephemeral container"}
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccounts:
    """Reads service accounts; writes spec.serviceAccountName, volumes, mounts and imagePullSecrets of pods."""

    name = "ServiceAccount"
    subjects = frozenset({"pods"})

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
        """Mirror pods take neither accounts nor secrets; an account may limit the secrets that its pods use."""
        pod = attributes.object
        later = attributes.operation == UPDATE and attributes.qualified == "pods/ephemeralcontainers"
        if pod is None or not (later or (attributes.operation == CREATE and attributes.qualified == "pods")):
            return
        if not later and MIRROR in meta.annotations(pod):
            _check_mirror(pod)
            return
        account = await self._account(attributes, pod["spec"])
        if (meta.annotations(account).get(_ENFORCE) or "").lower() in _TRUE:
            # A container that comes later must not bring what the pod could not (CVE-2023-2728).
            _check_secrets(pod, account, _EPHEMERAL if later else _LASTING)

    def _pod(self, attributes: Attributes) -> Object | None:
        if attributes.operation != CREATE or attributes.qualified != "pods" or attributes.object is None:
            return None
        return None if MIRROR in meta.annotations(attributes.object) else attributes.object

    async def _account(self, attributes: Attributes, spec: Object) -> Object:
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._lookups.get("serviceaccounts", attributes.namespace, name)
        for _ in range(_ATTEMPTS if name == "default" else 0):
            if account is not None:
                break
            # The controller makes it once the namespace is there, and nobody tells when it has.
            await asyncio.sleep(_PAUSE)
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
    if any(resource == "secrets" for resource, _, _ in references(pod)):
        raise errors.forbidden("pods", meta.name(pod), "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or []:
        sources = (volume.get("projected") or {}).get("sources") or []
        if any(source.get("serviceAccountToken") is not None for source in sources):
            why = "a mirror pod may not use ServiceAccountToken volume projections"
            raise errors.forbidden("pods", meta.name(pod), why)


def _check_secrets(pod: Object, account: Object, kinds: Mapping[str, str]) -> None:
    allowed = {found.get("name") for found in account.get("secrets") or []}
    spec = pod["spec"]
    why = f"is not allowed because service account {meta.name(account)} does not reference that"

    def check(what: str, name: object, known: set[object]) -> None:
        if name not in known:
            raise errors.forbidden("pods", meta.name(pod), f'{what}="{name}" {why} secret')

    if "containers" in kinds:
        for volume in spec.get("volumes") or []:
            if "secret" in volume:
                check("volume with secret.secretName", (volume["secret"] or {}).get("secretName"), allowed)
    for field, word in kinds.items():
        for container in spec.get(field) or []:
            told = f"{word} {container.get('name')} with"
            for variable in container.get("env") or []:
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference is not None:
                    what = f"{told} envVar {variable.get('name')} referencing secret.secretName"
                    check(what, reference.get("name"), allowed)
            for source in container.get("envFrom") or []:
                if source.get("secretRef") is not None:
                    check(f"{told} envFrom referencing secret.secretName", source["secretRef"].get("name"), allowed)
    if "containers" not in kinds:
        return
    pulled = {found.get("name") for found in account.get("imagePullSecrets") or []}
    for index, found in enumerate(spec.get("imagePullSecrets") or []):
        if found.get("name") not in pulled:
            told = f'imagePullSecrets[{index}].name="{found.get("name")}" {why} imagePullSecret'
            raise errors.forbidden("pods", meta.name(pod), told)

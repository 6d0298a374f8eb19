"""TokenRequest: a token for a service account, bound to an object, for an audience and a time (KEP-1205).

Reads the account and what the token is bound to; stores nothing.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.schemas import Kind
from keelson.kube_apiserver.admission.chains import CREATE, Attributes
from keelson.kube_apiserver.authentication.tokens import Account, Issuer
from keelson.kube_apiserver.encodings.bodies import read
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request, Response

from .verbs import only

_REQUEST = Kind("authentication.k8s.io/v1", "TokenRequest")
_LEAST, _MOST = 600, 1 << 32
_DEFAULT = 3600
# Kubelets ask for this odd hour: such tokens live a year in fact, and warn when used after the hour (KEP-2799).
_EXTENDABLE, _EXTENDED = 3607, 365 * 24 * 3600
_BINDABLE = {"Pod": ("pod", "pods"), "Secret": ("secret", "secrets"), "Node": ("node", "nodes")}


class TokenRequests:
    """`serviceaccounts/NAME/token`."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        issuer: Issuer,
        audiences: tuple[str, ...],
        *,
        most_seconds: int = 0,
        extend: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._issuer = issuer
        self._audiences = audiences
        self._most_seconds = most_seconds
        self._extend = extend

    async def handle(self, context: Context, request: Request, served: Served) -> Response:
        """Issue a token. Raises StatusError 404, 409, 422."""
        only(context, "create")
        asked = read(context, request, _REQUEST)
        spec = asked.setdefault("spec", {})
        namespace, name = context.info.namespace, context.info.name
        account = self._objects.object(served, await self._objects.get(served, namespace, name))
        metadata = asked.setdefault("metadata", {})
        metadata.setdefault("name", name)
        metadata.setdefault("namespace", namespace)
        seconds = spec.setdefault("expirationSeconds", _DEFAULT)
        _check(seconds)
        if self._most_seconds and seconds > self._most_seconds:
            seconds = spec["expirationSeconds"] = self._most_seconds
        attributes = Attributes(context, CREATE, served.resource, namespace, name, subresource="token", object=asked)
        await self._objects.admission.mutate(attributes)
        # Only now: NodeRestriction compares what was asked for with what the pod's volumes say.
        if not spec.get("audiences"):
            spec["audiences"] = list(self._audiences)
        await self._objects.admission.validate(attributes)
        bound = await self._bound(namespace, name, spec.get("boundObjectRef"))
        now = datetime.now(UTC)
        warn_after, life = 0.0, seconds
        if self._extend and seconds == _EXTENDABLE and "pod" in bound and spec["audiences"] == list(self._audiences):
            warn_after, life = now.timestamp() + seconds, _EXTENDED
        token = self._issuer.issue(
            Account(namespace, name, meta.uid(account)),
            spec["audiences"],
            now=now.timestamp(),
            seconds=life,
            token_id=str(uuid.uuid4()),
            bound=bound,
            warn_after=warn_after,
        )
        metadata["uid"] = meta.uid(account)
        metadata["creationTimestamp"] = meta.format_time(now)
        asked["status"] = {"token": token, "expirationTimestamp": meta.format_time(now + timedelta(seconds=seconds))}
        return Response(201, orjson.dumps(asked))

    async def _bound(self, namespace: str, account: str, reference: Object | None) -> dict[str, dict[str, str]]:
        if not reference:
            return {}
        kind = reference.get("kind") or ""
        if kind not in _BINDABLE:
            raise errors.bad_request(f'cannot bind token for serviceaccount to object of type "{kind}"')
        claim, resource = _BINDABLE[kind]
        served = self._catalogue.named(resource)
        where = "" if kind == "Node" else namespace
        obj = self._objects.object(served, await self._objects.get(served, where, reference.get("name") or ""))
        if kind == "Pod" and (obj.get("spec") or {}).get("serviceAccountName") != account:
            why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            raise errors.bad_request(why)
        if reference.get("uid") and reference["uid"] != meta.uid(obj):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            why += "The object might have been deleted and then recreated"
            raise errors.conflict(resource, meta.name(obj), why)
        bound = {claim: {"name": meta.name(obj), "uid": meta.uid(obj)}}
        node_name = (obj.get("spec") or {}).get("nodeName") if kind == "Pod" else ""
        if node_name:
            nodes = self._catalogue.named("nodes")
            item = (await self._objects.cached(nodes)).items.get(nodes.key("", node_name))
            if item is not None:
                bound["node"] = {"name": node_name, "uid": meta.uid(self._objects.object(nodes, item))}
        return bound


def _check(seconds: int) -> None:
    causes = []
    if seconds < _LEAST:
        message = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        causes.append(errors.cause("spec.expirationSeconds", "FieldValueInvalid", message))
    if seconds > _MOST:
        message = f"Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds"
        causes.append(errors.cause("spec.expirationSeconds", "FieldValueInvalid", message))
    if causes:
        raise errors.invalid("TokenRequest", "", causes, group="authentication.k8s.io")

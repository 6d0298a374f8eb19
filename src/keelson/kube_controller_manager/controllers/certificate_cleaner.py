"""certificatesigningrequest-cleaner-controller: removes requests that are over.

Reads: certificatesigningrequests.certificates.k8s.io. Writes: deletes them. Rules: Kubernetes documentation,
"Certificates and Certificate Signing Requests" ("Request signing process").
"""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import datetime, timedelta

from cryptography import x509

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.contexts import Context

log = logging.getLogger(__name__)

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_PERIOD = 3600.0
_ANSWERED = timedelta(hours=1)
_UNANSWERED = timedelta(hours=24)


def is_over(request: Object, now: datetime) -> bool:
    """Whether nobody needs the request any more: answered an hour ago, or not in a day, or its certificate expired."""
    certificate = (request.get("status") or {}).get("certificate") or ""
    if not meta.conditions(request):
        return _older(str(meta.metadata(request).get("creationTimestamp") or ""), _UNANSWERED, now)
    for condition in meta.conditions(request):
        updated = str(condition.get("lastUpdateTime") or "")
        match condition.get("type"):
            case "Denied" | "Failed":
                if _older(updated, _ANSWERED, now):
                    return True
            case "Approved":
                if _older(updated, _ANSWERED if certificate else _UNANSWERED, now):
                    return True
                if certificate and _expired(certificate, now):
                    return True
    return False


def _older(moment: str, age: timedelta, now: datetime) -> bool:
    return bool(moment) and meta.parse_time(moment) + age < now


def _expired(certificate: str, now: datetime) -> bool:
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(certificate)).not_valid_after_utc < now
    except ValueError:
        # Whatever a signer put there, it goes when an hour is over.
        return False


class CertificateCleanerController:
    """A sweep every hour."""

    name = "certificatesigningrequest-cleaner-controller"
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requests = context.informers.informer(RESOURCE)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            for request in self._requests.store:
                if is_over(request, self._context.now()):
                    await self._delete(request)
            await asyncio.sleep(_PERIOD)

    async def _delete(self, request: Object) -> None:
        try:
            await self._context.client.delete(RESOURCE, meta.name(request), uid=meta.uid(request))
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                log.warning("%s: %s: %s", self.name, meta.name(request), error.message)

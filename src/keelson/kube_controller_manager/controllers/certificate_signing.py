"""certificatesigningrequest-signing-controller: signs approved requests for the signers of kubernetes.io.

Reads: certificatesigningrequests. Writes: certificatesigningrequests/status. Needs the cluster signing key.
"""

from __future__ import annotations

import base64

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager import signatures
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import signing_requests as rules

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
# The shortest duration that a request may ask for (CertificateSigningRequestSpec.expirationSeconds).
_SHORTEST = 600.0


class CertificateSigningController:
    """One reconcile per approved request."""

    name = "certificatesigningrequest-signing-controller"
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        self._authority = signatures.Authority(settings.cluster_signing_certificate, settings.cluster_signing_key)
        self._queue = WorkQueue("certificate")
        self._requests = context.informers.informer(RESOURCE)
        self._requests.add_handler(self._changed)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and rules.wants_certificate(new):
            self._queue.add(meta.key(new))

    async def run(self) -> None:
        """Sign until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, key: str) -> float | None:
        csr = self._requests.store.get(key)
        if csr is None or not rules.wants_certificate(csr) or csr["spec"]["signerName"] not in rules.SIGNERS:
            return None
        spec = csr["spec"]
        usages = list(spec.get("usages") or [])
        status = dict(csr.get("status") or {})
        try:
            parsed, request = signatures.read(base64.b64decode(spec["request"]))
            why = rules.refusal(spec["signerName"], request, usages)
        except signatures.RequestError as error:
            why = str(error)
        now = self._context.now()
        if why:
            failed = {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": why,
                "lastUpdateTime": meta.format_time(now),
                "lastTransitionTime": meta.format_time(now),
            }
            status["conditions"] = [*meta.conditions(csr), failed]
        else:
            longest = self._context.settings.cluster_signing_duration
            asked = spec.get("expirationSeconds")
            seconds = longest if asked is None else max(min(float(asked), longest), _SHORTEST)
            pem = self._authority.sign(parsed, request, usages, now=now, seconds=seconds)
            status["certificate"] = base64.b64encode(pem).decode()
        await self._context.client.update_status(RESOURCE, {**csr, "status": status})
        return None

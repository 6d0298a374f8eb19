"""certificatesigningrequest-approving-controller: approves what a kubelet may ask for itself.

Reads: certificatesigningrequests, nodes. Writes: certificatesigningrequests/approval, subjectaccessreviews.
Client certificates follow upstream's rule (permission to create `nodeclient` or `selfnodeclient`). Serving
certificates, which upstream leaves to a person, are approved for a node's own names and addresses and no others.
"""

from __future__ import annotations

import base64
import logging

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager import signatures
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import signing_requests as rules

log = logging.getLogger(__name__)
RESOURCE = "certificatesigningrequests.certificates.k8s.io"


class CertificateApprovalController:
    """One reconcile per pending request."""

    name = "certificatesigningrequest-approving-controller"
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = WorkQueue("certificate")
        self._requests = context.informers.informer(RESOURCE)
        self._requests.add_handler(self._changed)
        self._nodes = context.informers.informer("nodes")

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and rules.is_pending(new):
            self._queue.add(meta.key(new))

    async def run(self) -> None:
        """Approve until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, key: str) -> float | None:
        csr = self._requests.store.get(key)
        if csr is None or not rules.is_pending(csr):
            return None
        try:
            _, request = signatures.read(base64.b64decode(csr["spec"]["request"]))
        except signatures.RequestError as error:
            log.info("request %s left to a person: %s", key, error)
            return None
        signer = csr["spec"]["signerName"]
        if signer == rules.KUBELET_SERVING:
            node = self._nodes.store.get(rules.node_name(request))
            why = rules.serving_refusal(csr, request, node)
            if why:
                log.info("request %s left to a person: %s", key, why)
                # The node may state the address in its next status.
                return 10.0 if node is None or why.startswith("not addresses") else None
            await self._approve(csr, "the names and addresses are the node's own")
        elif (subresource := rules.approval_permission(csr, request)) and await self._may(csr, subresource):
            await self._approve(csr, f"the requester may create certificatesigningrequests/{subresource}")
        return None

    async def _may(self, csr: Object, subresource: str) -> bool:
        spec = csr["spec"]
        review: Object = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": spec.get("username"),
                "uid": spec.get("uid"),
                "groups": spec.get("groups"),
                "extra": spec.get("extra"),
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "version": "*",
                    "subresource": subresource,
                },
            },
        }
        review["spec"] = {name: value for name, value in review["spec"].items() if value}
        answer = await self._client.create("subjectaccessreviews.authorization.k8s.io", review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _approve(self, csr: Object, message: str) -> None:
        now = meta.format_time(self._context.now())
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": f"Auto approving kubelet certificate: {message}",
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        status = {**(csr.get("status") or {}), "conditions": [*meta.conditions(csr), condition]}
        await self._client.update(RESOURCE, {**csr, "status": status}, subresource="approval")

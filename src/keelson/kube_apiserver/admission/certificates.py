"""Who asks for a certificate, and who may approve and sign one ("Certificates and Certificate Signing Requests").

Writes the requester into a new CertificateSigningRequest; refuses approvals and signatures by those who lack the verb
`approve` or `sign` on the signer, and requests for system:masters from the signer of client certificates.
"""

from __future__ import annotations

import base64
from collections.abc import Collection

from cryptography import x509
from cryptography.x509.oid import NameOID

from keelson.api import errors
from keelson.kube_apiserver.admission.chains import CREATE, UPDATE, Attributes
from keelson.kube_apiserver.authorization.unions import MASTERS, Authorizer, decided
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class Certificates:
    """CertificateApproval, CertificateSigning, CertificateSubjectRestriction, and who the requester is."""

    name = "Certificates"
    subjects = frozenset({_RESOURCE})

    def __init__(self, authorizer: Authorizer, disabled: Collection[str] = ()) -> None:
        """`disabled` may name the three plugins that this is made of."""
        self._authorizer = authorizer
        self._disabled = frozenset(disabled)

    async def mutate(self, attributes: Attributes) -> None:
        """The requester is who asks, whatever the request says."""
        request = attributes.object
        if attributes.qualified != _RESOURCE or attributes.operation != CREATE or request is None:
            return
        user = attributes.context.user
        spec = request.setdefault("spec", {})
        spec["username"] = user.name
        spec["groups"] = list(user.groups)
        for field, value in (("uid", user.uid), ("extra", {k: list(v) for k, v in user.extra.items()})):
            if value:
                spec[field] = value
            else:
                spec.pop(field, None)

    async def validate(self, attributes: Attributes) -> None:
        """May he approve, sign, or ask for this?"""
        if attributes.resource.qualified != _RESOURCE:
            return
        old, new = attributes.old or {}, attributes.object or {}
        signer = ((old or new).get("spec") or {}).get("signerName") or ""
        if attributes.operation == CREATE and "CertificateSubjectRestriction" not in self._disabled:
            self._check_subject(attributes, new.get("spec") or {})
        elif attributes.operation == UPDATE and attributes.subresource == "approval":
            if "CertificateApproval" not in self._disabled:
                await self._demand(attributes, "approve", signer)
        elif attributes.operation == UPDATE and attributes.subresource == "status":
            if "CertificateSigning" in self._disabled:
                return
            before, after = old.get("status") or {}, new.get("status") or {}
            if before.get("certificate") != after.get("certificate") or _failed(before) != _failed(after):
                await self._demand(attributes, "sign", signer)

    async def _demand(self, attributes: Attributes, verb: str, signer: str) -> None:
        domain = signer.partition("/")[0] + "/*"
        for name in (signer, domain):
            info = RequestInfo(True, verb, "", "certificates.k8s.io", "v1", "", "signers", "", name)
            if (await decided(self._authorizer, attributes.context.user, info)).allowed:
                return
        user = attributes.context.user.name
        why = f'user not permitted to {verb} requests with signerName "{signer}"'
        raise errors.forbidden(
            attributes.resource.plural, attributes.name, f"{why} (user {user})", group="certificates.k8s.io"
        )

    def _check_subject(self, attributes: Attributes, spec: dict[str, object]) -> None:
        if spec.get("signerName") != _CLIENT_SIGNER:
            return
        try:
            request = x509.load_pem_x509_csr(base64.b64decode(str(spec.get("request") or "")))
        except ValueError:
            # That it is no request at all is validation's to say.
            return
        groups = [each.value for each in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if MASTERS in groups:
            why = f"use of {_CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
            raise errors.forbidden(attributes.resource.plural, attributes.name, why, group="certificates.k8s.io")


def _failed(status: dict[str, object]) -> bool:
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(each.get("type") == "Failed" for each in conditions)

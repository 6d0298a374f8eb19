"""The cluster's public-key infrastructure: three authorities, the service-account keys, and who gets what certificate.

Names and organizations are upstream's ("PKI certificates and requirements"), so that a cluster's keys can be carried
over to and from kubeadm's. Kubelets get theirs from the cluster itself, by bootstrap token and CSR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.resources import Certificate, CertificateAuthority, ServiceAccountKey


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a control-plane host: its host name and its address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class PublicKeyInfrastructureArgs:
    """For whom certificates are issued, and for how long."""

    control_plane: Sequence[Names]
    endpoint_address: str
    kubernetes_service_address: str
    cluster_domain: str
    certificate_days: int

    @property
    def renew_before_days(self) -> int:
        """A certificate is renewed by an update when less than a third of its life is left, and 90 days at most."""
        return min(90, self.certificate_days // 3)


class PublicKeyInfrastructure(pulumi.ComponentResource):
    """All keys and certificates of one cluster; private keys are secrets of the stack's state."""

    def __init__(
        self, resource_name: str, args: PublicKeyInfrastructureArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("keelson:components:PublicKeyInfrastructure", resource_name, None, opts)
        self._args = args
        self._issued: dict[str, Certificate] = {}
        child = pulumi.ResourceOptions(parent=self)
        self.cluster = CertificateAuthority("cluster", common_name="kubernetes", opts=child)
        self.etcd = CertificateAuthority("etcd", common_name="etcd-ca", opts=child)
        self.front_proxy = CertificateAuthority("front-proxy", common_name="front-proxy-ca", opts=child)
        self.service_accounts = ServiceAccountKey("service-accounts", opts=child)
        service = [
            f"kubernetes.default.svc.{args.cluster_domain}",
            "kubernetes.default.svc",
            "kubernetes.default",
            "kubernetes",
            "localhost",
        ]
        for host in args.control_plane:
            etcd_addresses = [host.address, "127.0.0.1", "::1"]
            self._issue(
                f"{host.name}-etcd-server",
                self.etcd,
                host.name,
                server=True,
                client=True,
                names=[host.name, "localhost"],
                addresses=etcd_addresses,
            )
            self._issue(
                f"{host.name}-etcd-peer",
                self.etcd,
                host.name,
                server=True,
                client=True,
                names=[host.name, "localhost"],
                addresses=etcd_addresses,
            )
            self._issue(f"{host.name}-etcd-client", self.etcd, "kube-apiserver-etcd-client", client=True)
            self._issue(f"{host.name}-etcd-healthcheck", self.etcd, "kube-etcd-healthcheck-client", client=True)
            self._issue(
                f"{host.name}-apiserver",
                self.cluster,
                "kube-apiserver",
                server=True,
                names=[host.name, *service],
                addresses=sorted(
                    {host.address, args.endpoint_address, args.kubernetes_service_address, "127.0.0.1", "::1"}
                ),
            )
            # Kubelets answer to this group by a binding to system:kubelet-api-admin (see `components.addons`).
            self._issue(
                f"{host.name}-kubelet-client",
                self.cluster,
                "kube-apiserver-kubelet-client",
                client=True,
                organizations=["keelson:kubelet-clients"],
            )
            self._issue(f"{host.name}-front-proxy-client", self.front_proxy, "front-proxy-client", client=True)
            self._issue(f"{host.name}-scheduler", self.cluster, "system:kube-scheduler", client=True)
            self._issue(f"{host.name}-controller-manager", self.cluster, "system:kube-controller-manager", client=True)
        # The operator's own: system:masters passes every authoriser, as upstream's super-admin.conf does.
        self.admin = self._issue(
            "admin", self.cluster, "kubernetes-super-admin", client=True, organizations=["system:masters"]
        )
        self.register_outputs({})

    def of_host(self, host_name: str, purpose: str) -> Certificate:
        """The certificate of a control-plane host for a purpose, such as "apiserver" or "etcd-peer"."""
        return self._issued[f"{host_name}-{purpose}"]

    def of_node(self, host_name: str, purpose: str, common_name: str, organizations: Sequence[str]) -> Certificate:
        """Issue a client certificate for a daemon of any host, such as kube-proxy."""
        return self._issue(
            f"{host_name}-{purpose}", self.cluster, common_name, client=True, organizations=organizations
        )

    @property
    def expiries(self) -> dict[str, pulumi.Output[str]]:
        """When each certificate expires (RFC 3339), authorities included, by resource name."""
        authorities = {"cluster-ca": self.cluster, "etcd-ca": self.etcd, "front-proxy-ca": self.front_proxy}
        return {
            **{name: authority.not_after for name, authority in authorities.items()},
            **{name: certificate.not_after for name, certificate in self._issued.items()},
        }

    def _issue(
        self,
        name: str,
        authority: CertificateAuthority,
        common_name: str,
        *,
        server: bool = False,
        client: bool = False,
        organizations: Sequence[str] = (),
        names: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> Certificate:
        certificate = Certificate(
            name,
            authority=authority,
            common_name=common_name,
            usages=[usage for usage, wanted in (("server", server), ("client", client)) if wanted],
            organizations=organizations,
            dns_names=names,
            ip_addresses=addresses,
            validity_days=self._args.certificate_days,
            renew_before_days=self._args.renew_before_days,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._issued[name] = certificate
        return certificate

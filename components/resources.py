"""The custom resources of our plugin as Pulumi sees them: one class a kind, inputs typed, outputs as attributes.

The kinds themselves, and what their properties mean, are in `components.provider`. Property names are snake_case on the
wire too, so that nothing translates the keys of role variables or the paths of files on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi


class CertificateAuthority(pulumi.CustomResource):
    """A self-signed root: see `components.provider.certificate_authority`."""

    certificate: pulumi.Output[str]
    private_key: pulumi.Output[str]
    not_after: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        common_name: pulumi.Input[str],
        validity_days: pulumi.Input[int] = 3650,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:CertificateAuthority",
            resource_name,
            {
                "common_name": common_name,
                "validity_days": validity_days,
                "certificate": None,
                "private_key": None,
                "not_after": None,
            },
            opts,
        )


class Certificate(pulumi.CustomResource):
    """A certificate and its key: see `components.provider.certificate`."""

    certificate: pulumi.Output[str]
    private_key: pulumi.Output[str]
    not_after: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        authority: CertificateAuthority,
        common_name: pulumi.Input[str],
        usages: Sequence[str],
        validity_days: pulumi.Input[int],
        renew_before_days: pulumi.Input[int],
        organizations: Sequence[str] = (),
        dns_names: Sequence[pulumi.Input[str]] = (),
        ip_addresses: Sequence[pulumi.Input[str]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:Certificate",
            resource_name,
            {
                "authority_certificate": authority.certificate,
                "authority_private_key": authority.private_key,
                "common_name": common_name,
                "usages": list(usages),
                "validity_days": validity_days,
                "renew_before_days": renew_before_days,
                "organizations": list(organizations),
                "dns_names": list(dns_names),
                "ip_addresses": list(ip_addresses),
                "certificate": None,
                "private_key": None,
                "not_after": None,
            },
            opts,
        )


class ServiceAccountKey(pulumi.CustomResource):
    """The key pair of service-account tokens: see `components.provider.service_account_key`."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, resource_name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "keelson:index:ServiceAccountKey", resource_name, {"private_key": None, "public_key": None}, opts
        )


class RandomSecret(pulumi.CustomResource):
    """A drawn secret: see `components.provider.random_secret`."""

    value: pulumi.Output[str]

    def __init__(self, resource_name: str, *, form: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:index:RandomSecret", resource_name, {"form": form, "value": None}, opts)


class LabNetwork(pulumi.CustomResource):
    """A lab's network: see `components.provider.lab_network`."""

    namespace: pulumi.Output[str]
    link: pulumi.Output[str]
    operator_address: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        clone: str,
        stack: str,
        subnet: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:LabNetwork",
            resource_name,
            {
                "clone": clone,
                "stack": stack,
                "subnet": subnet,
                "namespace": None,
                "link": None,
                "operator_address": None,
            },
            opts,
        )


class MachineContainer(pulumi.CustomResource):
    """A host that is a machine container: see `components.provider.machine_container`."""

    host: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        resource_name: str,
        *,
        clone: str,
        stack: str,
        address: str,
        image: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:MachineContainer",
            resource_name,
            {
                "clone": clone,
                "stack": stack,
                "name": resource_name,
                "address": address,
                "image": image,
                "running": None,
                "host": None,
            },
            opts,
        )


class AdoptedMachine(pulumi.CustomResource):
    """A machine that exists already: see `components.provider.adopted_machine`."""

    host: pulumi.Output[dict[str, Any]]
    variables: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        resource_name: str,
        *,
        address: str,
        port: int,
        user: str,
        host_key: str,
        private_key_path: str,
        role: str,
        balanced: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:AdoptedMachine",
            resource_name,
            {
                "name": resource_name,
                "address": address,
                "port": port,
                "user": user,
                "host_key": host_key,
                "private_key_path": private_key_path,
                "role": role,
                "balanced": balanced,
                "host": None,
                "variables": None,
                "before": None,
            },
            opts,
        )


class OperatorKey(pulumi.CustomResource):
    """The operator's SSH key for a stack's machines: see `components.provider.ssh_keys`."""

    path: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(
        self, resource_name: str, *, clone: str, stack: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            "keelson:index:OperatorKey",
            resource_name,
            {"clone": clone, "stack": stack, "path": None, "public_key": None},
            opts,
        )


class SshHostKey(pulumi.CustomResource):
    """A machine's own SSH key: see `components.provider.ssh_keys`."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, resource_name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:index:SshHostKey", resource_name, {"private_key": None, "public_key": None}, opts)


class Hypervisor(pulumi.CustomResource):
    """The operator's hypervisor: see `components.provider.hypervisor`."""

    connection_uri: pulumi.Output[str]
    domain_type: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        clone: str,
        stack: str,
        uri: str,
        host_key: str,
        private_key_path: str,
        bridge: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:Hypervisor",
            resource_name,
            {
                "clone": clone,
                "stack": stack,
                "uri": uri,
                "host_key": host_key,
                "private_key_path": private_key_path,
                "bridge": bridge,
                "connection_uri": None,
                "domain_type": None,
            },
            opts,
        )


class BootedMachine(pulumi.CustomResource):
    """A machine that was started, once it answers: see `components.provider.booted_machine`."""

    host: pulumi.Output[dict[str, Any]]
    variables: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        resource_name: str,
        *,
        address: str,
        host_key: pulumi.Input[str],
        private_key_path: pulumi.Input[str],
        role: str,
        balanced: bool,
        instance: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:BootedMachine",
            resource_name,
            {
                "name": resource_name,
                "address": address,
                "port": 22,
                "user": "root",
                "host_key": host_key,
                "private_key_path": private_key_path,
                "role": role,
                "balanced": balanced,
                "instance": instance,
                "host": None,
                "variables": None,
                "answers": None,
            },
            opts,
        )


class Convergence(pulumi.CustomResource):
    """The roles of one host, converged: see `components.provider.convergence`."""

    placed: pulumi.Output[dict[str, Any]]
    generation: pulumi.Output[int]

    def __init__(
        self,
        resource_name: str,
        *,
        host: pulumi.Input[Mapping[str, Any]],
        owned: bool,
        roles: Sequence[str],
        variables: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:Convergence",
            resource_name,
            {
                "host": host,
                "owned": owned,
                "roles": list(roles),
                "variables": dict(variables),
                "placed": None,
                "generation": None,
            },
            opts,
        )


class ClusterObjects(pulumi.CustomResource):
    """Objects that the toolkit keeps in a cluster: see `components.provider.cluster_objects`."""

    def __init__(
        self,
        resource_name: str,
        *,
        kubeconfig: pulumi.Input[str],
        objects: pulumi.Input[Sequence[Mapping[str, Any]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:ClusterObjects",
            resource_name,
            {"kubeconfig": kubeconfig, "objects": objects, "applied": None},
            opts,
        )


class ControlPlaneLabels(pulumi.CustomResource):
    """The label of control-plane nodes: see `components.provider.control_plane_labels`."""

    def __init__(
        self,
        resource_name: str,
        *,
        kubeconfig: pulumi.Input[str],
        nodes: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:ControlPlaneLabels",
            resource_name,
            {"kubeconfig": kubeconfig, "nodes": list(nodes), "labelled": None},
            opts,
        )


class Verification(pulumi.CustomResource):
    """The suite of checks run against the hosts: see `components.provider.verification`."""

    passed: pulumi.Output[int]
    seconds: pulumi.Output[float]
    described: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        resource_name: str,
        *,
        hosts: Sequence[Mapping[str, Any]],
        kubeconfig: pulumi.Input[str] | None,
        nodes: Sequence[str],
        generations: Mapping[str, pulumi.Input[int]],
        report: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "keelson:index:Verification",
            resource_name,
            {
                "hosts": list(hosts),
                "kubeconfig": kubeconfig,
                "nodes": list(nodes),
                "generations": dict(generations),
                "report": report,
                "passed": None,
                "seconds": None,
                "described": None,
            },
            opts,
        )

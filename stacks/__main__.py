"""The Pulumi program: reads the settings, then wires the components. No work is done here."""

from pathlib import Path

import pulumi

from components import control_plane, kubeconfigs, prepared_hosts, releases, role_variables, workers
from components.addons import Addons, AddonsArgs
from components.adopted_machines import AdoptedMachines, AdoptedMachinesArgs, Existing
from components.machines import MachineContainers, MachineContainersArgs, Wanted
from components.network import Network, NetworkArgs
from components.node_pool import NodePool, NodePoolArgs
from components.pki import Names, PublicKeyInfrastructure, PublicKeyInfrastructureArgs
from components.prepared_hosts import PreparedHosts, PreparedHostsArgs
from components.role_variables import Cluster, Member
from components.secrets import Secrets
from components.verification import Subject, Verification, VerificationArgs
from components.virtual_machines import VirtualMachines, VirtualMachinesArgs
from stacks import networks, settings
from stacks.values import SettingsError

clone = Path(__file__).resolve().parent.parent
lab_id = settings.lab_id(str(clone))
try:
    stack = settings.of_project(
        pulumi.runtime.config.CONFIG.get(), namespace=pulumi.get_project(), stack=pulumi.get_stack(), clone_id=lab_id
    )
except SettingsError as error:
    # By this status the language host knows that the operator was told; after any other it adds an error of its own.
    pulumi.log.error(str(error))
    raise SystemExit(32) from None

pki = PublicKeyInfrastructure(
    "pki",
    PublicKeyInfrastructureArgs(
        control_plane=[Names(machine.name, machine.address) for machine in stack.control_plane],
        endpoint_address=stack.endpoint_address,
        kubernetes_service_address=stack.kubernetes_service_address,
        cluster_domain=stack.cluster_domain,
        certificate_days=stack.certificate_days,
    ),
)
secrets = Secrets("secrets")
if stack.host_kind == "bareMetal":
    hosts = AdoptedMachines(
        "hosts",
        AdoptedMachinesArgs(
            machines=[
                Existing(
                    name=machine.name,
                    address=machine.address,
                    port=machine.port,
                    user=machine.user,
                    host_key=machine.host_key,
                    private_key_path=str(clone / Path(machine.private_key_file).expanduser()),
                    role=machine.role,
                )
                for machine in stack.machines
            ],
            balanced=stack.virtual_address is not None,
        ),
    ).hosts
elif stack.hypervisor is not None:
    hosts = VirtualMachines(
        "hosts",
        VirtualMachinesArgs(
            clone=str(clone),
            stack=stack.stack,
            lab=f"{lab_id}-{stack.stack}",
            hypervisor=stack.hypervisor.uri,
            hypervisor_key=stack.hypervisor.host_key,
            private_key_path=str(clone / Path(stack.hypervisor.private_key_file).expanduser()),
            bridge=stack.hypervisor.bridge,
            network=stack.host_network,
            prefix=stack.host_prefix,
            gateway=stack.host_gateway,
            image=releases.virtual_machine_image(),
            cpus=stack.hypervisor.cpus,
            memory=stack.hypervisor.memory,
            disk=stack.hypervisor.disk,
            machines=[Wanted(machine.name, machine.address, machine.role) for machine in stack.machines],
            balanced=stack.virtual_address is not None,
        ),
    ).hosts
else:
    network = Network("network", NetworkArgs(clone=str(clone), stack=stack.stack, subnet=stack.host_network))
    hosts = MachineContainers(
        "hosts",
        MachineContainersArgs(
            clone=str(clone),
            stack=stack.stack,
            image=str(releases.machine_image()),
            network=network,
            hosts=[Wanted(machine.name, machine.address, machine.role) for machine in stack.machines],
        ),
    ).hosts

cluster = Cluster(
    release=releases.release(),
    pki=pki,
    members=tuple(Member(machine.name, machine.address) for machine in stack.machines),
    control_plane=tuple(Member(machine.name, machine.address) for machine in stack.control_plane),
    endpoint_address=stack.endpoint_address,
    virtual_address=stack.virtual_address,
    pod_network=stack.pod_network,
    service_network=stack.service_network,
    dns_address=stack.dns_address,
    cluster_domain=stack.cluster_domain,
    node_pod_prefix=networks.NODE_POD_PREFIX,
    cluster_token=f"{lab_id}-{stack.stack}",
    bootstrap_token=secrets.bootstrap_token,
    encryption_key=secrets.encryption_key,
)
kubeconfig: pulumi.Output[str] = pulumi.Output.secret(
    pulumi.Output.all(pki.cluster.certificate, pki.admin.certificate, pki.admin.private_key).apply(
        lambda values: kubeconfigs.by_certificate(
            cluster=f"{role_variables.CLUSTER}-{stack.stack}",
            server=cluster.endpoint,
            authority=values[0],
            user="admin",
            certificate=values[1],
            key=values[2],
        )
    )
)

control_hosts = [host for host in hosts if host.role == "controlPlane"]
node_hosts = [host for host in hosts if host.role == "node"]
if stack.purpose == "cluster":
    control = control_plane.ControlPlane("control-plane", control_plane.ControlPlaneArgs(cluster, control_hosts))
    nodes = NodePool("nodes", NodePoolArgs(cluster, node_hosts))
    addons = Addons(
        "addons",
        AddonsArgs(
            kubeconfig=kubeconfig,
            bootstrap_token=secrets.bootstrap_token,
            control_plane=[host.name for host in control_hosts],
            dns_address=stack.dns_address,
            dns_image=cluster.release.dns_image,
            cluster_domain=stack.cluster_domain,
        ),
        # For the order of a destroy: the hosts outlive what is in the cluster.
        pulumi.ResourceOptions(depends_on=[host.resource for host in control_hosts if host.resource is not None]),
    )
    convergences = [*control.convergences, *nodes.convergences]
    roles = {host.name: control_plane.roles(cluster) for host in control_hosts}
    roles |= {host.name: workers.ROLES for host in node_hosts}
    verified_after = pulumi.ResourceOptions(depends_on=[addons])
else:
    prepared = PreparedHosts("prepared-hosts", PreparedHostsArgs(cluster, [*control_hosts, *node_hosts]))
    convergences = list(prepared.convergences)
    roles = {host.name: prepared_hosts.ROLES for host in hosts}
    verified_after = pulumi.ResourceOptions()
verification = Verification(
    "verification",
    VerificationArgs(
        subjects=[
            Subject(
                host=host,
                groups=roles[host.name],
                variables=workers.told(cluster, host),
                convergence=convergence,
            )
            for host, convergence in zip([*control_hosts, *node_hosts], convergences, strict=True)
        ],
        kubeconfig=kubeconfig if stack.purpose == "cluster" else None,
        report=str(clone / ".state" / "labs" / stack.stack / "verification.xml"),
    ),
    verified_after,
)

if stack.purpose == "cluster":
    pulumi.export("kubeconfig", kubeconfig)
    pulumi.export("endpoint", cluster.endpoint)
pulumi.export("ca", pki.cluster.certificate)
pulumi.export("hosts", [host.described(roles[host.name]) for host in [*control_hosts, *node_hosts]])
pulumi.export("certificate_expiries", pki.expiries)
pulumi.export("verification", verification.result.described)

"""The kinds this plugin serves, listed once."""

from __future__ import annotations

from components.provider.adopted_machine import AdoptedMachine
from components.provider.booted_machine import BootedMachine
from components.provider.certificate import Certificate
from components.provider.certificate_authority import CertificateAuthority
from components.provider.cluster_objects import ClusterObjects
from components.provider.control_plane_labels import ControlPlaneLabels
from components.provider.convergence import Convergence
from components.provider.hypervisor import Hypervisor
from components.provider.kinds import Kind, Registry
from components.provider.lab_network import LabNetwork
from components.provider.machine_container import MachineContainer
from components.provider.random_secret import RandomSecret
from components.provider.service_account_key import ServiceAccountKey
from components.provider.ssh_keys import OperatorKey, SshHostKey
from components.provider.verification import Verification

_KINDS: tuple[Kind, ...] = (
    CertificateAuthority(),
    Certificate(),
    ServiceAccountKey(),
    RandomSecret(),
    LabNetwork(),
    MachineContainer(),
    AdoptedMachine(),
    OperatorKey(),
    SshHostKey(),
    Hypervisor(),
    BootedMachine(),
    Convergence(),
    ClusterObjects(),
    ControlPlaneLabels(),
    Verification(),
)

ALL = Registry({kind.type_name: kind for kind in _KINDS})

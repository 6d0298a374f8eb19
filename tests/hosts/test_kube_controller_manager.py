"""The controller manager, which alone may sign."""

from typing import Any

from tests.hosts.elected_daemons import ElectedDaemon

ROLE = "kube_controller_manager"


class TestKubeControllerManager(ElectedDaemon):
    role, name, port = ROLE, "kube-controller-manager", 10257

    def test_authority_key_has_one_reader(self, host: Any) -> None:
        key = host.file("/etc/kubernetes/pki/ca.key")
        assert (key.user, key.mode) == (self.name, 0o400)

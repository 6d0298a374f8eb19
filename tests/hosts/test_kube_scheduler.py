"""The scheduler."""

from tests.hosts.elected_daemons import ElectedDaemon

ROLE = "kube_scheduler"


class TestKubeScheduler(ElectedDaemon):
    role, name, port = ROLE, "kube-scheduler", 10259

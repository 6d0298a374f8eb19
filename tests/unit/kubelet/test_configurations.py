from __future__ import annotations

from typing import Any

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.kubelet.configurations import KubeletConfiguration, parse


def test_defaults_are_upstreams() -> None:
    assert parse({}, where="f") == KubeletConfiguration()


def test_fields() -> None:
    found = parse(
        {
            "authentication": {"x509": {"clientCAFile": "/ca"}, "webhook": {"cacheTTL": "1m"}},
            "cgroupDriver": "systemd",
            "clusterDNS": ["10.96.0.10"],
            "containerLogMaxSize": "1Mi",
            "crashLoopBackOff": {"maxContainerRestartPeriod": "30s"},
            "nodeStatusUpdateFrequency": "4s",
            "registerWithTaints": [{"key": "k", "effect": "NoSchedule"}],
            "failSwapOn": False,
        },
        where="f",
    )
    assert (found.client_ca_file, found.authentication_ttl, found.cgroup_driver) == ("/ca", 60.0, "systemd")
    assert (found.container_log_max_size, found.maximum_restart_delay) == (2**20, 30.0)
    assert (found.cluster_dns, found.status_update_period) == (("10.96.0.10",), 4.0)
    assert found.register_with_taints == ({"key": "k", "effect": "NoSchedule"},)
    assert found.without_meaning == ("failSwapOn",)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"nonsense": 1}, "f.nonsense: unknown field"),
        ({"authentication": {"x509": {"clientCaFile": "/ca"}}}, "f.authentication.x509.clientCaFile: unknown field"),
        ({"authentication": {"anonymous": {"enabled": True}}}, "anonymous requests are not supported"),
        ({"authorization": {"mode": "Open"}}, "want Webhook or AlwaysAllow"),
        ({"maxPods": "many"}, "f.maxPods: want int, found str"),
        ({"containerLogMaxSize": "big"}, "f.containerLogMaxSize"),
        ({"nodeStatusUpdateFrequency": "often"}, "f.nodeStatusUpdateFrequency"),
        ({"cgroupDriver": "none"}, "want cgroupfs or systemd"),
    ],
)
def test_what_is_wrong_is_named(document: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(document, where="f")

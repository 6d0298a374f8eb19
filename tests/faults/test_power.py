"""Power cut off a host without grace: the API and the workloads go on, and the host rejoins by itself."""

from __future__ import annotations

import time

import pytest

from tests.cluster import workloads
from tests.clusters import TOOLS, Cluster, Namespace

pytestmark = pytest.mark.nightly

_TAKEOVER_SECONDS = 10.0


@pytest.mark.parametrize("cluster", ["ha"], indirect=True, scope="session")
@pytest.mark.parametrize("index", [0, 1, 2])
def test_any_control_plane_host_can_lose_power(cluster: Cluster, namespace: Namespace, index: int) -> None:
    lost = cluster.control_plane[index].name
    url = _serve(cluster, namespace)
    assert workloads.fetch(url) == "web\n"
    try:
        cluster.stack.make("power", f"HOST={lost}", "STATE=off")
        cut = time.monotonic()
        while (asked := cluster.try_kubectl("get", "--raw=/readyz", "--request-timeout=2s")).status != 0:
            assert time.monotonic() - cut < _TAKEOVER_SECONDS, asked.told
        assert time.monotonic() - cut < _TAKEOVER_SECONDS
        # A write needs etcd's quorum, and not only a server that answers.
        namespace.kubectl("create", "configmap", "written", "--from-literal=when=after")
        assert workloads.fetch(url, patience_seconds=0) == "web\n"
        # Controllers have another leader too.
        namespace.kubectl("create", "deployment", "later", f"--image={TOOLS}", "--", "sleep", "600")
        namespace.rollout("deployment/later")
    finally:
        cluster.stack.make("power", f"HOST={lost}", "STATE=on")
    namespace.wait("condition=Ready", f"node/{lost}")
    ended = cluster.stack.try_make("verify")
    assert ended.status == 0, ended.told


def test_a_node_that_lost_power_runs_its_pods_again(cluster: Cluster, namespace: Namespace) -> None:
    worker = cluster.workers[0].name
    pod = workloads.pod("web", workloads.SERVE, restartPolicy="Always", **workloads.anywhere(worker))
    namespace.apply(pod)
    namespace.wait("condition=Ready", "pod/web")
    before = namespace.get("pod/web")["status"]["containerStatuses"][0]["containerID"]
    cluster.stack.make("power", f"HOST={worker}", "STATE=off")
    cluster.stack.make("power", f"HOST={worker}", "STATE=on")
    namespace.wait("jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/web")
    namespace.wait("condition=Ready", "pod/web", f"node/{worker}")
    assert namespace.get("pod/web")["status"]["containerStatuses"][0]["containerID"] != before


def _serve(cluster: Cluster, namespace: Namespace) -> str:
    """Serve HTTP from a worker; gives a URL of it on that worker, which no control-plane host is needed for."""
    worker = cluster.workers[0]
    pod = workloads.pod("web", workloads.SERVE, **workloads.anywhere(worker.name))
    namespace.apply(pod, workloads.service("web", kind="NodePort"))
    namespace.wait("condition=Ready", "pod/web")
    namespace.wait("jsonpath={.endpoints[0].conditions.ready}=true", "endpointslices", "--all")
    port = namespace.get("service/web")["spec"]["ports"][0]["nodePort"]
    return f"http://{worker.address}:{port}/"

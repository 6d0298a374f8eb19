"""The container images in a host's containerd: imported without a registry, and run."""

from collections.abc import Callable

import pytest

from components.hosts.models import Host
from images.machine import recipes
from images.oci import archives

pytestmark = pytest.mark.lab

CTR = "ctr --namespace=k8s.io"
# A shares setting is all that ctr adds of cgroups by itself, and there may be no controller to take it.
RUN = f"{CTR} run --rm --cpu-shares=0"


@pytest.fixture(scope="module")
def images(host: Host, run: Callable[..., str]) -> dict[str, str]:
    """Return the name under which each image is imported, by its folder."""
    run(host, "systemctl start containerd")
    found = {}
    for path in archives.definitions():
        archive = archives.archive(path, recipes.load())
        assert archive.name in run(host, f"{CTR} images import -", archive.path)
        found[path.parent.name] = archive.name
    return found


def test_containerd_knows_them_by_the_names_that_pods_use(
    host: Host, images: dict[str, str], run: Callable[..., str]
) -> None:
    assert set(images.values()) <= set(run(host, f"{CTR} images list --quiet").split())


def test_tools_fetches_what_tools_serves(host: Host, images: dict[str, str], run: Callable[..., str]) -> None:
    script = (
        "echo served >/var/www/index.html; httpd -h /var/www -p 127.0.0.1:8080; wget -q -O - http://127.0.0.1:8080/"
    )
    run(host, "ip link set lo up")
    assert run(host, f"{RUN} --net-host {images['tools']} tools sh -c '{script}'") == "served\n"
    assert "nslookup" in run(host, f"{RUN} {images['tools']} tools ls /bin").split()


def test_coredns_binds_its_port_without_being_root(host: Host, images: dict[str, str], run: Callable[..., str]) -> None:
    assert "CoreDNS-" in run(host, f"{RUN} {images['coredns']} version /coredns -version")
    plugins = run(host, f"{RUN} {images['coredns']} plugins /coredns -plugins").split()
    assert {"kubernetes", "forward", "cache", "prometheus"} <= set(plugins)
    # It ends by itself where it may not bind: then there is no task to kill.
    run(host, f"{CTR} run --detach --cpu-shares=0 {images['coredns']} dns /coredns -dns.port=53")
    status = run(host, f"{CTR} tasks list | grep dns; cat /proc/$(pidof coredns)/status")
    assert "RUNNING" in status
    assert "Uid:\t65532" in status
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    assert int(effective.split()[1], 16) == 1 << 10
    run(host, f"{CTR} tasks kill --signal=SIGKILL dns")


def test_pause_waits_until_it_is_told_to_end(host: Host, images: dict[str, str], run: Callable[..., str]) -> None:
    run(host, f"{CTR} run --detach --cpu-shares=0 {images['pause']} pause")
    assert "RUNNING" in run(host, f"{CTR} tasks list | grep pause")
    run(host, f"{CTR} tasks kill pause && {CTR} tasks delete pause || test $? -eq 143")

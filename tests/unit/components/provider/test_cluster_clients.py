"""Connections to one cluster do not share what vanishes with one of them."""

from pathlib import Path

from components import kubeconfigs
from components.provider import cluster_clients

KUBECONFIG = kubeconfigs.by_certificate(
    cluster="c", server="https://192.0.2.1:6443", authority="A", user="u", certificate="C", key="K"
)


def test_a_connection_outlives_another_of_the_same_kubeconfig() -> None:
    with cluster_clients.connect(KUBECONFIG) as second:
        with cluster_clients.connect(KUBECONFIG) as third:
            files = [Path(client._api.configuration.key_file) for client in (second, third)]
            assert [file.read_text() for file in files] == ["K", "K"]
        assert files[0].read_text() == "K"
        assert not files[1].exists()
    assert not files[0].exists()


def test_a_later_connection_has_its_own_files() -> None:
    with cluster_clients.connect(KUBECONFIG):
        pass
    with cluster_clients.connect(KUBECONFIG) as later:
        assert Path(later._api.configuration.cert_file).read_text() == "C"
        assert later.server == "https://192.0.2.1:6443"

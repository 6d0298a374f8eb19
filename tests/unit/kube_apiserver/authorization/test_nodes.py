"""The Node authoriser: a kubelet reaches what its pods need, and not its neighbour's."""

from typing import Any

import pytest

from keelson.kube_apiserver.authorization.nodes import Nodes
from keelson.kube_apiserver.bootstrap import policies
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.items import Indexer
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving import request_infos

KUBELET = User("system:node:n1", ("system:nodes", "system:authenticated"))
POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "a"},
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "app",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "v", "secret": {"secretName": "files"}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        ],
        "containers": [
            {
                "name": "c",
                "envFrom": [{"configMapRef": {"name": "all"}}],
                "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}}],
            }
        ],
    },
}
VOLUME = {
    "metadata": {"name": "volume"},
    "spec": {"claimRef": {"namespace": "a", "name": "claim"}},
}


def _fill(collection: Collection, *objects: dict[str, Any]) -> None:
    items = []
    for obj in objects:
        head = obj["metadata"]
        place = f"{head['namespace']}/" if "namespace" in head else ""
        copied = {**obj, "metadata": dict(head)}
        items.append(collection.indexer.item(f"{collection.prefix}{place}{head['name']}", copied, 1))
    collection.replace(items, 1)


def _authorizer(pods: Collection | None = None) -> Nodes:
    pods = Collection("/pods/", Indexer(("spec.nodeName",))) if pods is None else pods
    volumes = Collection("/volumes/", Indexer(()))
    attachments, slices = Collection("/attachments/", Indexer(())), Collection("/slices/", Indexer(("spec.nodeName",)))
    made = Nodes(pods, volumes, attachments, slices, policies.node_rules())
    _fill(pods, POD)
    _fill(volumes, VOLUME)
    for collection in (attachments, slices):
        _fill(collection, *({"metadata": {"name": f"of-{node}"}, "spec": {"nodeName": node}} for node in ("n1", "n2")))
    return made


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/namespaces/a/secrets/files", True),
        ("GET", "/api/v1/namespaces/a/secrets/pull", True),
        ("GET", "/api/v1/namespaces/a/secrets/one", True),
        ("GET", "/api/v1/namespaces/a/configmaps/projected", True),
        ("GET", "/api/v1/namespaces/a/configmaps/all", True),
        ("GET", "/api/v1/namespaces/a/secrets/other", False),
        ("GET", "/api/v1/namespaces/b/secrets/files", False),
        ("GET", "/api/v1/namespaces/a/secrets", False),
        ("PUT", "/api/v1/namespaces/a/secrets/files", False),
        ("GET", "/api/v1/namespaces/a/persistentvolumeclaims/claim", True),
        ("GET", "/api/v1/persistentvolumes/volume", True),
        ("GET", "/api/v1/persistentvolumes/other", False),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/app/token", True),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/default/token", False),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", True),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2", False),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/n1", False),
        ("PATCH", "/api/v1/nodes/n1/status", True),
        ("GET", "/api/v1/nodes/n2", False),
        ("PATCH", "/api/v1/namespaces/a/pods/web/status", True),
        ("POST", "/api/v1/namespaces/a/events", True),
        ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", True),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", False),
        ("GET", "/metrics", False),
        ("GET", "/apis/storage.k8s.io/v1/volumeattachments/of-n1", True),
        ("GET", "/apis/storage.k8s.io/v1/volumeattachments/of-n2", False),
        ("GET", "/apis/storage.k8s.io/v1/volumeattachments/none", False),
        ("GET", "/apis/storage.k8s.io/v1/volumeattachments", False),
        ("GET", "/apis/resource.k8s.io/v1/resourceslices/of-n1", True),
        ("PUT", "/apis/resource.k8s.io/v1/resourceslices/of-n1", True),
        ("POST", "/apis/resource.k8s.io/v1/resourceslices", True),
        ("GET", "/apis/resource.k8s.io/v1/resourceslices/of-n2", False),
        ("DELETE", "/apis/resource.k8s.io/v1/resourceslices/of-n2", False),
        ("GET", "/apis/resource.k8s.io/v1/resourceslices", False),
        ("DELETE", "/apis/resource.k8s.io/v1/resourceslices", False),
    ],
)
def test_what_a_kubelet_may_do(method: str, path: str, allowed: bool) -> None:
    assert bool(_authorizer().authorize(KUBELET, request_infos.of(method, path)).allowed) is allowed


@pytest.mark.parametrize(
    ("selector", "allowed"), [("spec.nodeName=n1", True), ("spec.nodeName=n2", False), ("", False)]
)
@pytest.mark.parametrize("path", ["/api/v1/pods", "/apis/resource.k8s.io/v1/resourceslices"])
def test_a_kubelet_lists_what_is_of_its_node(path: str, selector: str, allowed: bool) -> None:
    info = request_infos.of("GET", path, field_selector=selector)
    assert bool(_authorizer().authorize(KUBELET, info).allowed) is allowed


def test_what_a_pod_needed_goes_with_it() -> None:
    pods = Collection("/pods/", Indexer(("spec.nodeName",)))
    authorizer = _authorizer(pods)
    info = request_infos.of("GET", "/api/v1/namespaces/a/secrets/files")
    _fill(pods, {**POD, "metadata": {"name": "second", "namespace": "a"}})
    assert authorizer.authorize(KUBELET, info).allowed
    _fill(pods)
    assert not authorizer.authorize(KUBELET, info).allowed


def test_a_name_without_the_group_is_no_kubelet() -> None:
    info = request_infos.of("GET", "/api/v1/namespaces/a/secrets/files")
    assert not _authorizer().authorize(User("system:node:n1"), info).allowed

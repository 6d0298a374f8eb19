"""Built-in admission plugins on a real server: what each adds and refuses, and the ways around them that are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab
CONFIGURATION = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {"enforce": "baseline"},
                "exemptions": {"namespaces": ["exempt"]},
            },
        },
        {
            "name": "ResourceQuota",
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "ResourceQuotaConfiguration",
                "limitedResources": [{"resource": "pods", "matchContains": ["example.com/gpu"]}],
            },
        },
        {
            "name": "EventRateLimit",
            "configuration": {
                "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
                "kind": "Configuration",
                "limits": [{"type": "Namespace", "qps": 1, "burst": 5}],
            },
        },
        {"name": "PodNodeSelector", "path": "selectors.yaml"},
        {
            "name": "PodTolerationRestriction",
            "configuration": {
                "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1",
                "kind": "Configuration",
                "default": [{"key": "shared", "operator": "Exists"}],
            },
        },
    ],
}
_SELECTORS = {"podNodeSelectorPluginConfig": {"tenant": "env=test,disk=ssd"}}
_OPTIONAL = (
    "AlwaysPullImages,DenyServiceExternalIPs,EventRateLimit,ExtendedResourceToleration,"
    "OwnerReferencesPermissionEnforcement,PodNodeSelector,PodTolerationRestriction"
)


def pod(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "image"}], **spec}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


async def refused(call: Any, code: int = 403) -> str:
    with pytest.raises(StatusError) as caught:
        await call
    assert caught.value.code == code, caught.value
    return caught.value.message


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("configured")
    path = Path(folder, "admission.yaml")
    path.write_text(yaml.safe_dump(CONFIGURATION), encoding="utf-8")
    (folder / "selectors.yaml").write_text(yaml.safe_dump(_SELECTORS), encoding="utf-8")
    flags = [f"--admission-control-config-file={path}", f"--enable-admission-plugins={_OPTIONAL}"]
    with Cluster(folder, flags) as found:
        yield found


@pytest.fixture
async def strict(configured: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(configured.folder / "admin.conf")), user_agent="suite") as found:
        for name in ("strict", "exempt"):
            try:
                await found.create("namespaces", {"metadata": {"name": name}})
                await found.create("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        yield found


async def test_a_container_added_later_brings_no_secret_that_the_account_withholds(
    client: Client, namespace: str
) -> None:
    # CVE-2023-2728.
    limits = {"kubernetes.io/enforce-mountable-secrets": "true"}
    account = {"metadata": {"name": "narrow", "namespace": namespace, "annotations": limits}}
    await client.create("serviceaccounts", {**account, "secrets": [{"name": "known"}]})
    secret = {"secretRef": {"name": "other"}}
    spec = {"serviceAccountName": "narrow"}
    containers = [{"name": "main", "image": "i", "envFrom": [secret]}]
    assert await refused(client.create("pods", pod(namespace, "p", **spec, containers=containers))) == (
        'pods "p" is forbidden: container main with envFrom referencing secret.secretName="other" is not allowed '
        "because service account narrow does not reference that secret"
    )
    await client.create("pods", pod(namespace, "p", **spec))
    late = {"spec": {"ephemeralContainers": [{"name": "late", "image": "i", "envFrom": [secret]}]}}
    call = client.patch(
        "pods", "p", late, namespace=namespace, subresource="ephemeralcontainers",
        kind="application/strategic-merge-patch+json",
    )  # fmt: skip
    assert "ephemeral container late with envFrom" in await refused(call)


async def test_overhead_is_for_the_runtime_class_to_state(client: Client, namespace: str) -> None:
    refusal = await refused(client.create("pods", pod(namespace, "p", overhead={"cpu": "1"})))
    assert "Pod Overhead set without corresponding RuntimeClass defined Overhead" in refusal
    body = {"metadata": {"name": namespace}, "handler": "h", "overhead": {"podFixed": {"cpu": "250m"}}}
    await client.create("runtimeclasses.node.k8s.io", body)
    made = await client.create("pods", pod(namespace, "p", runtimeClassName=namespace))
    assert made["spec"]["overhead"] == {"cpu": "250m"}
    other = pod(namespace, "q", runtimeClassName=namespace, overhead={"cpu": "1"})
    assert "doesn't match RuntimeClass's defined Overhead" in await refused(client.create("pods", other))


async def test_there_is_one_default_priority_at_most(client: Client, namespace: str) -> None:
    classes = "priorityclasses.scheduling.k8s.io"
    first = {"metadata": {"name": namespace}, "value": 5, "globalDefault": True}
    await client.create(classes, first)
    try:

        async def given() -> bool:
            # The plugin reads classes from a cache, as upstream's does, which the new one is on its way to.
            metadata = {"generateName": "p-", "namespace": namespace}
            spec = (await client.create("pods", {**pod(namespace, "p"), "metadata": metadata}))["spec"]
            return (spec.get("priorityClassName"), spec["priority"]) == (namespace, 5)

        await waits.until(given)
        second = {**first, "metadata": {"name": f"{namespace}-b"}}
        assert "Only one default can exist" in await refused(client.create(classes, second))
        await client.patch(classes, namespace, {"description": "the one"})
    finally:
        await client.delete(classes, namespace)


async def test_a_bound_pod_learns_its_zone(client: Client, namespace: str) -> None:
    labels = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "o"}
    await client.create("nodes", {"metadata": {"name": namespace, "labels": labels}})
    await client.create("pods", pod(namespace, "p"))
    binding = {"metadata": {"name": "p", "namespace": namespace}, "target": {"kind": "Node", "name": namespace}}
    await client.create("pods", binding, name="p", subresource="binding")
    del labels["other"]
    assert meta.labels(await client.get("pods", "p", namespace=namespace)) == labels


async def test_a_mirror_pod_is_the_nodes_own_and_reads_nothing(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    node = await client.create("nodes", {"metadata": {"name": f"{namespace}-n"}})
    name = meta.name(node)
    user = f"system:node:{name}"
    config = kubeconfigs.load(cluster.kubeconfig(user, ["system:nodes"]))
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": meta.uid(node), "controller": True}

    def mirror(pod_name: str, reference: dict[str, Any], **spec: Any) -> dict[str, Any]:
        body = pod(namespace, pod_name, nodeName=name, **spec)
        body["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [reference]}
        return body

    async with Client(config, user_agent="kubelet") as kubelet:
        await kubelet.create("pods", mirror("good", owner))
        wrong = mirror("wrong", {**owner, "uid": "somebody-else"})
        assert "UID mismatch" in await refused(kubelet.create("pods", wrong))
        loose = mirror("loose", {**owner, "controller": False})
        assert "controller owner reference" in await refused(kubelet.create("pods", loose))
        reads = [{"name": "main", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]
        reading = mirror("reading", owner, containers=reads)
        assert "a mirror pod may not reference secrets" in await refused(kubelet.create("pods", reading))
        maps = [{"name": "main", "image": "i", "envFrom": [{"configMapRef": {"name": "m"}}]}]
        reading = mirror("reading", owner, containers=maps)
        assert "can not create pods that reference configmaps" in await refused(kubelet.create("pods", reading))
        tokens = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
        refusal = await refused(kubelet.create("pods", mirror("token", owner, volumes=tokens)))
        assert "a mirror pod may not use ServiceAccountToken volume projections" in refusal


async def test_a_node_asks_for_tokens_only_for_whom_its_pods_name(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    node = f"{namespace}-t"
    await client.create("nodes", {"metadata": {"name": node}})
    sources = [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]
    volumes = [{"name": "t", "projected": {"sources": sources}}]
    made = await client.create("pods", pod(namespace, "p", nodeName=node, volumes=volumes))
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": meta.uid(made)}
    config = kubeconfigs.load(cluster.kubeconfig(f"system:node:{node}", ["system:nodes"]))

    async with Client(config, user_agent="kubelet") as kubelet:

        def ask(*audiences: str) -> Any:
            spec = {"audiences": list(audiences), "boundObjectRef": bound}
            body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
            return kubelet.create("serviceaccounts", body, namespace=namespace, name="default", subresource="token")

        await ask("vault")
        await ask()
        assert 'audience "bank" not found in pod spec volume' in await refused(ask("bank"))
        assert "0 or 1 audiences" in await refused(ask("vault", "bank"))


async def test_the_configuration_file_sets_levels_exemptions_and_what_needs_a_quota(strict: Client) -> None:
    bad = [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]
    refusal = await refused(strict.create("pods", pod("strict", "p", containers=bad)))
    assert 'violates PodSecurity "baseline:latest"' in refusal
    await strict.create("pods", pod("exempt", "p", containers=bad))
    asked = {"example.com/gpu": "1"}
    greedy = [{"name": "c", "image": "i", "resources": {"requests": asked, "limits": asked}}]
    refusal = await refused(strict.create("pods", pod("strict", "gpu", containers=greedy)))
    assert refusal.endswith("insufficient quota to consume: requests.example.com/gpu")


async def test_plugins_that_are_off_by_default_do_their_work_when_named(configured: Cluster, strict: Client) -> None:
    containers = [{"name": "c", "image": "i:1", "imagePullPolicy": "IfNotPresent"}]
    made = await strict.create("pods", pod("strict", "pulled", containers=containers))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    spec = {"ports": [{"port": 80}], "externalIPs": ["203.0.113.7"]}
    call = strict.create("services", {"metadata": {"name": "s", "namespace": "strict"}, "spec": spec})
    assert "Use of external IPs is denied by admission control" in await refused(call)
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "update"]}
    role = {"metadata": {"name": "writer", "namespace": "strict"}, "rules": [rule]}
    await strict.create("roles.rbac.authorization.k8s.io", role)
    binding = {
        "metadata": {"name": "writer", "namespace": "strict"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": "writer", "apiGroup": "rbac.authorization.k8s.io"},
    }
    await strict.create("rolebindings.rbac.authorization.k8s.io", binding)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "pulled", "uid": meta.uid(made)}
    body = {"metadata": {"name": "c", "namespace": "strict", "ownerReferences": [owner]}}
    async with Client(kubeconfigs.load(configured.kubeconfig("eve", [])), user_agent="suite") as eve:
        created = await eve.create("configmaps", body)
        blocking = {**body, "metadata": {**body["metadata"], "name": "d"}}
        blocking["metadata"]["ownerReferences"] = [{**owner, "blockOwnerDeletion": True}]
        assert "cannot set blockOwnerDeletion" in await refused(eve.create("configmaps", blocking))
        created["metadata"]["ownerReferences"] = []
        assert "cannot set an ownerRef on a resource you can't delete" in await refused(
            eve.update("configmaps", created)
        )


async def test_a_namespace_says_where_its_pods_run_and_what_they_tolerate(strict: Client) -> None:
    prefix = "scheduler.alpha.kubernetes.io"
    allowed = '[{"key": "ours", "operator": "Exists"}, {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, '
    allowed += '{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]'
    annotations = {
        f"{prefix}/node-selector": "env=test",
        f"{prefix}/defaultTolerations": '[{"key": "ours", "operator": "Exists"}]',
        f"{prefix}/tolerationsWhitelist": allowed,
    }
    await strict.create("namespaces", {"metadata": {"name": "tenant", "annotations": annotations}})
    account = {"metadata": {"name": "default", "namespace": "tenant"}}
    await strict.create("serviceaccounts", account)
    made = await strict.create("pods", pod("tenant", "p", nodeSelector={"disk": "ssd"}))
    assert made["spec"]["nodeSelector"] == {"disk": "ssd", "env": "test"}
    assert {"key": "ours", "operator": "Exists"} in made["spec"]["tolerations"]
    refusal = await refused(strict.create("pods", pod("tenant", "q", nodeSelector={"env": "production"})))
    assert "conflicts with its namespace node label selector" in refusal
    refusal = await refused(strict.create("pods", pod("tenant", "q", nodeSelector={"disk": "tape"})))
    assert "conflict with its namespace whitelist" in refusal
    foreign = [{"key": "theirs", "operator": "Exists"}]
    refusal = await refused(strict.create("pods", pod("tenant", "q", tolerations=foreign)))
    assert "conflict with its namespace whitelist" in refusal
    made = await strict.create("pods", pod("strict", "tolerant", tolerations=foreign))
    assert {"key": "shared", "operator": "Exists"} in made["spec"]["tolerations"]


async def test_events_of_a_namespace_are_as_many_as_the_limit_says(strict: Client) -> None:
    async def write(name: str) -> str:
        about = {"kind": "Pod", "name": "p", "namespace": "exempt"}
        body = {"metadata": {"name": name, "namespace": "exempt"}, "involvedObject": about, "reason": "Seen"}
        try:
            await strict.create("events", body)
        except StatusError as error:
            return f"{error.code} {error.message}"
        return ""

    answers = await asyncio.gather(*(write(f"e{index}") for index in range(30)))
    assert 5 <= answers.count("") < 25
    assert set(answers) == {"", "429 Too many requests: limit reached on type Namespace for key exempt"}


def test_a_plugin_that_is_not_there_can_not_be_enabled(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"ImagePolicyWebhook.* is not supported"),
        Cluster(tmp_path, ["--enable-admission-plugins=ImagePolicyWebhook"]),
    ):
        pass

"""What a user does with a cluster by kubectl: workloads that run, are reached, looked into, changed and removed."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time

import pytest

from tests import clusters
from tests.cluster import workloads
from tests.clusters import TOOLS, Cluster, Namespace

pytestmark = pytest.mark.lab

_TERMINAL_SECONDS = 90.0


def on_terminal(command: list[str], typed: str) -> str:
    """Run a command on a terminal, type one line at its first prompt, and return all that the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=clusters.environment()
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + _TERMINAL_SECONDS
    sent = False
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                block = os.read(ours, 4096)
            except OSError:
                # EIO: the other end was closed by its last process (pty(7)).
                block = b""
            if not block:
                break
            shown += block
            if not sent and re.search(rb"[#$] (\x1b\[[0-9;]*[A-Za-z])*$", shown):
                os.write(ours, typed.encode())
                sent = True
        else:
            raise AssertionError(f"the command did not end; the terminal showed {shown.decode()!r}")
        assert process.wait(timeout=30) == 0, shown.decode()
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    return shown.decode()


def nodes_of(namespace: Namespace, app: str) -> set[str]:
    """Return the hosts on which ready pods of an app run."""
    return {
        pod["spec"]["nodeName"]
        for pod in namespace.get("pods", f"--selector=app={app}")["items"]
        if "deletionTimestamp" not in pod["metadata"]
    }


def test_every_host_is_a_ready_node(cluster: Cluster) -> None:
    conditions = {
        node["metadata"]["name"]: {each["type"]: each["status"] for each in node["status"]["conditions"]}
        for node in cluster.get("nodes")["items"]
    }
    assert {name: found["Ready"] for name, found in conditions.items()} == {host.name: "True" for host in cluster.hosts}
    table = cluster.kubectl("get", "nodes", "--output=wide")
    assert all(host.address in table for host in cluster.hosts)


def test_the_life_of_a_deployment(namespace: Namespace) -> None:
    namespace.kubectl(
        "create", "deployment", "web", f"--image={TOOLS}", "--replicas=4", "--", "sh", "-c", workloads.SERVE
    )
    namespace.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    namespace.rollout("deployment/web")
    first = {pod["metadata"]["name"] for pod in namespace.get("pods")["items"]}
    assert len(first) == 4
    assert namespace.kubectl("exec", "deployment/web", "--", "hostname").strip() in first

    namespace.kubectl("scale", "deployment", "web", "--replicas=2")
    namespace.wait("jsonpath={.status.replicas}=2", "deployment/web")

    namespace.kubectl("rollout", "restart", "deployment/web")
    namespace.rollout("deployment/web")
    current = [
        pod["metadata"]["name"]
        for pod in namespace.get("pods", "--selector=app=web")["items"]
        if "deletionTimestamp" not in pod["metadata"]
    ]
    assert len(current) == 2
    assert not first & set(current)
    assert namespace.kubectl("rollout", "history", "deployment/web").count("<none>") == 2

    namespace.kubectl("delete", "deployment,service", "web")
    namespace.wait("delete", "pods", "--selector=app=web")
    assert namespace.get("replicasets", "--selector=app=web")["items"] == []


def test_logs_are_followed_until_the_container_ends(namespace: Namespace) -> None:
    namespace.apply(workloads.pod("counter", "for number in 1 2 3; do echo line $number; sleep 1; done"))
    namespace.wait("condition=Ready", "pod/counter")
    assert namespace.kubectl("logs", "--follow", "counter").split("\n") == ["line 1", "line 2", "line 3", ""]
    assert namespace.kubectl("logs", "--tail=1", "counter") == "line 3\n"


def test_a_shell_in_a_pod_of_its_own(namespace: Namespace) -> None:
    arguments = ["run", "shell", "-it", "--rm", "--restart=Never", f"--image={TOOLS}", "--", "sh"]
    command = namespace.cluster.command(f"--namespace={namespace.name}", *arguments)
    shown = on_terminal(command, "tty; echo $((6 * 7)); exit\n")
    assert re.search(r"^/dev/pts/\d+\r$", shown, re.MULTILINE)
    assert re.search(r"^42\r$", shown, re.MULTILINE)
    assert namespace.get("pods")["items"] == []


def test_a_failing_command_gives_its_status(namespace: Namespace) -> None:
    namespace.apply(workloads.pod("target", "sleep 600"))
    namespace.wait("condition=Ready", "pod/target")
    ended = namespace.try_kubectl("exec", "target", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert ended.status == 7
    assert ended.stdout == "out\n"
    assert "err\n" in ended.stderr
    fed = namespace.kubectl("exec", "-i", "target", "--", "sh", "-c", "wc -c", stdin="12345")
    assert fed.strip() == "5"


def test_explain_apply_diff_and_top(cluster: Cluster, namespace: Namespace) -> None:
    assert "replicas\t<integer>" in cluster.kubectl("explain", "deployment.spec")
    assert "FIELD: replicas <integer>" in cluster.kubectl("explain", "deployment.spec.replicas")

    manifest = workloads.config("ConfigMap", "settings", colour="red")
    namespace.apply(manifest)
    unchanged = namespace.try_kubectl("diff", "--filename=-", stdin=json.dumps(manifest))
    assert (unchanged.status, unchanged.stdout) == (0, "")
    manifest["data"]["colour"] = "blue"
    changed = namespace.try_kubectl("diff", "--filename=-", stdin=json.dumps(manifest))
    assert changed.status == 1, changed.told
    assert "-  colour: red\n+  colour: blue\n" in changed.stdout
    namespace.apply(manifest)
    assert namespace.get("configmap/settings")["data"] == {"colour": "blue"}

    top = cluster.try_kubectl("top", "nodes")
    assert top.status == 1
    assert "Metrics API not available" in top.stderr


def test_a_pod_reaches_a_service_whose_pods_are_on_other_hosts(cluster: Cluster, namespace: Namespace) -> None:
    web = {"app": "web"}
    container = {"name": "main", "image": TOOLS, "command": ["sh", "-c", workloads.SERVE]}
    readiness = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": web},
            "template": {
                "metadata": {"labels": web},
                "spec": {
                    # Not on the client's host; without its taint the others are all the workers.
                    "affinity": _not_on(cluster.control_plane[0].name),
                    "containers": [{**container, "readinessProbe": readiness}],
                },
            },
        },
    }
    namespace.apply(deployment, workloads.service("web"))
    namespace.rollout("deployment/web")
    client = cluster.control_plane[0].name
    serving = nodes_of(namespace, "web")
    assert serving
    assert client not in serving

    name = f"web.{namespace.name}.svc.cluster.local"
    # As often as there are tries before each of four pods was surely met once more or less; any failure ends the loop.
    fetch = f"for i in $(seq 20); do wget -q -T 5 -O - http://{name} || exit 1; done"
    namespace.apply(workloads.pod("client", fetch, **workloads.anywhere(client)))
    namespace.wait("jsonpath={.status.phase}=Succeeded", "pod/client")
    answered = set(namespace.kubectl("logs", "client").split())
    pods = {pod["metadata"]["name"] for pod in namespace.get("pods", "--selector=app=web")["items"]}
    assert answered <= pods
    assert len(answered) > 1


def _not_on(host: str) -> workloads.Manifest:
    expression = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [host]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def test_names_of_services_resolve_on_every_host(cluster: Cluster, namespace: Namespace) -> None:
    address = cluster.get("--namespace=default", "service/kubernetes")["spec"]["clusterIP"]
    full = "kubernetes.default.svc.cluster.local"
    lookup = f"nslookup {full} && nslookup -type=srv _https._tcp.{full}"
    names = [f"lookup-{index}" for index, _ in enumerate(cluster.hosts)]
    namespace.apply(
        *(
            workloads.pod(name, lookup, **workloads.anywhere(host.name))
            for name, host in zip(names, cluster.hosts, strict=True)
        )
    )
    namespace.wait("jsonpath={.status.phase}=Succeeded", *(f"pod/{name}" for name in names))
    for name in names:
        assert address in namespace.kubectl("logs", name)


def test_a_node_port_answers_on_every_host(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(
        workloads.pod("web", workloads.SERVE, container={"readinessProbe": {"tcpSocket": {"port": 8080}}}),
        workloads.service("web", kind="NodePort"),
    )
    namespace.wait("condition=Ready", "pod/web")
    namespace.wait("jsonpath={.endpoints[0].conditions.ready}=true", "endpointslices", "--all")
    port = namespace.get("service/web")["spec"]["ports"][0]["nodePort"]
    for host in cluster.hosts:
        assert workloads.fetch(f"http://{host.address}:{port}/") == "web\n"


def test_a_job_runs_to_completion(namespace: Namespace) -> None:
    namespace.kubectl("create", "job", "sum", f"--image={TOOLS}", "--", "sh", "-c", "echo $((1 + 2))")
    namespace.wait("condition=Complete", "job/sum")
    assert namespace.kubectl("logs", "job/sum") == "3\n"
    assert namespace.get("job/sum")["status"]["succeeded"] == 1
    namespace.kubectl("delete", "job", "sum")
    namespace.wait("delete", "pods", "--selector=job-name=sum")


def test_a_daemon_set_has_a_pod_on_every_host(cluster: Cluster, namespace: Namespace) -> None:
    template = workloads.pod("agent", "trap exit TERM; sleep 600 & wait", tolerations=[{"operator": "Exists"}])
    template["spec"]["restartPolicy"] = "Always"
    namespace.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {"metadata": {"labels": {"app": "agent"}}, "spec": template["spec"]},
            },
        }
    )
    namespace.rollout("daemonset/agent")
    assert nodes_of(namespace, "agent") == {host.name for host in cluster.hosts}


def test_volumes_show_config_maps_and_secrets(namespace: Namespace) -> None:
    volumes = [
        {"name": "config", "configMap": {"name": "config"}},
        {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes]
    environment = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "colour"}}}]
    read = (
        "cat /config/colour /secret/password; echo $COLOUR; stat -L -c %a /secret/password; echo ok >/scratch/file;"
        " cat /scratch/file; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"
    )
    namespace.apply(
        workloads.config("ConfigMap", "config", colour="green\n"),
        workloads.config("Secret", "secret", password="opensesame\n"),
        workloads.pod("reader", read, container={"volumeMounts": mounts, "env": environment}, volumes=volumes),
    )
    namespace.wait("jsonpath={.status.phase}=Succeeded", "pod/reader")
    lines = namespace.kubectl("logs", "reader").splitlines()
    assert lines == ["green", "opensesame", "green", "400", "ok", namespace.name]


def test_init_containers_come_first_and_failed_containers_come_back(namespace: Namespace) -> None:
    first = {"name": "first", "image": TOOLS, "command": ["sh", "-c", "echo prepared >/shared/file"]}
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    # Fails at its first start and stays at its second.
    command = "cat /shared/file; [ -e /shared/again ] && exec sleep 600; touch /shared/again; exit 1"
    pod = workloads.pod(
        "ordered",
        command,
        restartPolicy="Always",
        initContainers=[{**first, "volumeMounts": mounts}],
        volumes=[{"name": "shared", "emptyDir": {}}],
        container={"volumeMounts": mounts},
    )
    namespace.apply(pod)
    namespace.wait("jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/ordered")
    namespace.wait("condition=Ready", "pod/ordered")
    assert namespace.kubectl("logs", "ordered", "--previous") == "prepared\n"


def test_a_pod_of_higher_priority_takes_the_place_of_a_lesser_one(cluster: Cluster, namespace: Namespace) -> None:
    # One host port on one host: there is room for one of them.
    host = workloads.anywhere(cluster.hosts[-1].name)
    port = {"ports": [{"containerPort": 8080, "hostPort": 28080}]}
    namespace.apply(workloads.pod("lesser", "sleep 600", container=port, **host))
    namespace.wait("condition=Ready", "pod/lesser")
    lesser = namespace.get("pod", "lesser")["metadata"]["uid"]
    namespace.apply(
        workloads.pod("greater", "sleep 600", container=port, priorityClassName="system-node-critical", **host)
    )
    namespace.wait("condition=Ready", "pod/greater")
    greater = namespace.get("pod", "greater")["metadata"]["uid"]
    assert lesser not in {pod["metadata"]["uid"] for pod in namespace.get("pods")["items"]}
    (event,) = namespace.get("events", "--field-selector=reason=Preempted")["items"]
    assert event["involvedObject"]["uid"] == lesser
    assert event["message"] == f"Preempted by pod {greater} on node {cluster.hosts[-1].name}"

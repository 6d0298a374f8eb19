"""The kubelet whole: a real API server with its Node authoriser, a real containerd, real pods."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
import yaml

from tests import waits
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster

from .containerd_labs import TOOLS, ContainerdLab

pytestmark = pytest.mark.lab

_T = TypeVar("_T")
_NODE = "node-a"
# The bridge's own address: the gateway of the lab's pods.
_ADDRESS = "10.213.0.1"
_CLONE_NEWNET = 0x40000000


class Node:
    """One kubelet in the lab's namespaces, and an API server on the loopback there."""

    def __init__(self, lab: ContainerdLab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self._threads = ThreadPoolExecutor(max_workers=1, initializer=self._enter)
        self.cluster = Cluster(folder / "cluster", [f"--advertise-address={_ADDRESS}"])
        self._process: subprocess.Popen[bytes] | None = None

    def _enter(self) -> None:
        """Move this one thread, and whatever it starts, into the lab's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self.lab.pid}/ns/net").open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))

    def inside(self, work: Callable[[], _T]) -> _T:
        return self._threads.submit(work).result(120)

    def __enter__(self) -> Node:
        self.inside(self.cluster.__enter__)
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{self.lab.socket}",
            "clusterDNS": ["10.96.0.10"],
            "authentication": {"x509": {"clientCAFile": str(self.cluster.folder / "ca.crt")}},
            "evictionHard": {"memory.available": "10Mi", "nodefs.available": "1%"},
            # The lab's images are in no registry, and the machine's disk may be full enough for their removal.
            "imageGCHighThresholdPercent": 100,
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        self.kubeconfig = self.cluster.kubeconfig(f"system:node:{_NODE}", ["system:nodes"])
        self.start()
        return self

    def start(self) -> None:
        command = ["nsenter", "-t", str(self.lab.pid), "--net", "--mount", "--pid", "--", sys.executable]
        command += ["-m", "keelson.kubelet", "--config", str(self.folder / "config.yaml")]
        command += ["--kubeconfig", self.kubeconfig, "--hostname-override", _NODE, "--node-ip", _ADDRESS]
        command += ["--root-dir", str(self.folder / "root"), "--pod-log-dir", str(self.folder / "logs" / "pods")]
        command += ["--cert-dir", str(self.folder / "pki"), "-v", "4"]
        with (self.folder / "kubelet.log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def stop(self, number: signal.Signals) -> None:
        """End the kubelet itself: the process that nsenter became or made."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children or [str(self._process.pid)]:
            os.kill(int(child), number)
        self._process.wait(30)
        self._process = None

    def __exit__(self, *_error: object) -> None:
        if self._process is not None:
            self.stop(signal.SIGTERM)
        self.inside(lambda: self.cluster.__exit__(None, None, None))
        self._threads.shutdown()

    def kubectl(self, *arguments: str, input: str = "") -> str:  # noqa: A002
        return self.inside(lambda: self.cluster.kubectl(*arguments, input=input))

    def create(self, obj: dict[str, Any]) -> None:
        self.kubectl("create", "--validate=false", "-f", "-", input=json.dumps(obj))

    def pod(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
        return found

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        try:
            waits.blocked_until(holds, what, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-6000:]}") from error

    def log(self) -> str:
        return (self.folder / "kubelet.log").read_text()

    def ready(self, name: str) -> bool:
        conditions = (self.pod(name).get("status") or {}).get("conditions") or []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def request(self, path: str, *, certificate: bool = True, token: str = "") -> tuple[int, str]:
        """A request to port 10250, as the API server makes it."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            pair = self.cluster.folder / "apiserver-kubelet-client"
            context.load_cert_chain(pair.with_suffix(".crt"), pair.with_suffix(".key"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://{_ADDRESS}:10250{path}", headers=headers)

        def send() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        return self.inside(send)


@pytest.fixture(scope="module")
def node(lab: ContainerdLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    # The lab's bridge comes with its first pod; the kubelet announces its address before that.
    bridge = f"ip link add cni0 type bridge; ip addr add {_ADDRESS}/24 dev cni0; ip link set cni0 up"
    subprocess.run(["nsenter", "-t", str(lab.pid), "--net", "sh", "-c", bridge], check=True)
    with Node(lab, tmp_path_factory.mktemp("node")) as found:
        # The account that a controller would make; no controller runs here.
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        found.create(account)
        found.until(lambda: "node/node-a" in found.kubectl("get", "nodes", "-o", "name"), "the node")
        yield found


def pod(name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    base = {"name": "main", "image": TOOLS, "imagePullPolicy": "IfNotPresent", **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": _NODE,
            "containers": [base],
            "terminationGracePeriodSeconds": 2,
            "automountServiceAccountToken": False,
            **spec,
        },
    }


def test_the_node_is_ready_and_has_a_lease(node: Node) -> None:
    def is_ready() -> bool:
        found = json.loads(node.kubectl("get", "node", _NODE, "-o", "json"))
        return any(c["type"] == "Ready" and c["status"] == "True" for c in found["status"]["conditions"])

    node.until(is_ready, "readiness of the node")
    found = json.loads(node.kubectl("get", "node", _NODE, "-o", "json"))
    assert found["status"]["addresses"][0] == {"type": "InternalIP", "address": _ADDRESS}
    assert found["metadata"]["labels"]["kubernetes.io/hostname"] == _NODE
    assert found["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    lease = json.loads(node.kubectl("get", "lease", _NODE, "-n", "kube-node-lease", "-o", "json"))
    assert lease["spec"]["holderIdentity"] == _NODE


def test_a_pod_with_everything_runs_survives_the_kubelet_and_goes(node: Node) -> None:
    node.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "page", "namespace": "default"},
            "data": {"text": "hello"},
        }
    )
    serve = "cp /page/text /www/index.html; echo up; trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"
    node.create(
        pod(
            "web",
            {
                "command": ["sh", "-c", serve],
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                "volumeMounts": [{"name": "work", "mountPath": "/www"}, {"name": "page", "mountPath": "/page"}],
            },
            initContainers=[
                {
                    "name": "first",
                    "image": TOOLS,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "echo prepared"],
                }
            ],
            volumes=[{"name": "work", "emptyDir": {}}, {"name": "page", "configMap": {"name": "page"}}],
        )
    )
    node.until(lambda: node.ready("web"), "the pod's readiness")
    before = node.pod("web")["status"]
    assert before["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert node.request("/containerLogs/default/web/main") == (200, "up\n")

    node.stop(signal.SIGKILL)
    node.start()
    node.until(lambda: node.log().count("pods are bound to this node") == 2, "the kubelet's return")
    # Longer than a relist and a probe's period: what would be restarted by mistake would be by now.
    time.sleep(2.5)
    after = node.pod("web")["status"]
    assert after["containerStatuses"] == before["containerStatuses"]
    assert [c for c in after["conditions"] if c["type"] == "Ready"] == [
        c for c in before["conditions"] if c["type"] == "Ready"
    ]

    uid = node.pod("web")["metadata"]["uid"]
    node.kubectl("delete", "pod", "web", "--timeout=20s")
    node.until(lambda: not (node.folder / "root" / "pods" / uid).exists(), "the end of the pod's folder")
    listed = subprocess.run(
        ["ctr", "--address", str(node.lab.socket), "--namespace", "k8s.io", "containers", "ls", "-q"],
        check=True,
        capture_output=True,
    )
    assert listed.stdout == b""


def test_a_crash_loop_and_a_completed_pod(node: Node) -> None:
    message = "echo gone wrong > /dev/termination-log; exit 4"
    node.create(pod("crash", {"command": ["sh", "-c", message]}))
    node.create(pod("once", {"command": ["sh", "-c", "echo done"]}, restartPolicy="Never"))

    def reason() -> str:
        statuses = node.pod("crash").get("status", {}).get("containerStatuses") or [{"state": {}}]
        return str((statuses[0]["state"].get("waiting") or {}).get("reason"))

    node.until(lambda: reason() == "CrashLoopBackOff", "the crash loop")
    last = node.pod("crash")["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["message"]) == (4, "gone wrong\n")
    node.until(lambda: node.pod("once")["status"].get("phase") == "Succeeded", "the pod's success")
    assert node.request("/containerLogs/default/once/main?tailLines=1") == (200, "done\n")
    node.kubectl("delete", "pod", "crash", "once", "--timeout=20s")


def test_a_command_is_streamed_in_and_out(node: Node) -> None:
    node.create(pod("shell", {"command": ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]}))
    node.until(lambda: node.ready("shell"), "the pod's readiness")

    async def talk() -> list[tuple[int, bytes]]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        pair = node.cluster.folder / "apiserver-kubelet-client"
        context.load_cert_chain(pair.with_suffix(".crt"), pair.with_suffix(".key"))
        query = [("command", part) for part in ("sh", "-c", "read line; echo got $line; echo oops >&2; exit 3")]
        query += [("input", "1"), ("output", "1"), ("error", "1")]
        url = f"https://{_ADDRESS}:10250/exec/default/shell/main"
        opened: list[socket.socket] = []

        def open_(address: aiohttp.AddrInfoType) -> socket.socket:
            opened.append(socket.socket(*address[:3]))
            return opened[-1]

        async def closed() -> bool:
            return all(each.fileno() == -1 for each in opened)

        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=open_)) as session,
            session.ws_connect(url, params=query, ssl=context, protocols=["v4.channel.k8s.io"]) as stream,
        ):
            await stream.send_bytes(b"\0hello\n")
            found = [(message.data[0], message.data[1:]) async for message in stream]
        # TLS says goodbye, which the session does not wait for.
        await waits.until(closed)
        return found

    frames = node.inside(lambda: asyncio.run(talk()))
    # Channels of the protocol: 1 is standard output, 2 standard error, 3 the final status.
    assert b"".join(data for channel, data in frames if channel == 1) == b"got hello\n"
    assert b"".join(data for channel, data in frames if channel == 2) == b"oops\n"
    status = json.loads(b"".join(data for channel, data in frames if channel == 3))
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    node.kubectl("delete", "pod", "shell", "--timeout=20s")


def test_the_server_admits_only_whom_the_api_allows(node: Node) -> None:
    assert node.request("/pods", certificate=False)[0] == 401
    assert node.request("/pods", certificate=False, token="nonsense")[0] == 401
    assert node.request("/pods")[0] == 200
    token = node.kubectl("create", "token", "default").strip()
    status, text = node.request("/pods", certificate=False, token=token)
    assert status == 403
    assert "user=system:serviceaccount:default:default" in text

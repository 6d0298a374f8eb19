"""Logs, exec, attach, port-forward and proxies, from kubectl to a container: every daemon on the way is a real one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import yaml

from tests.contracts.cri.containerd_labs import ContainerdLab
from tests.contracts.cri.test_kubelet import Node, pod
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

_ADDRESS = "10.213.0.1"
_SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}


class ServingNode(Node):
    """A node whose kubelet has a certificate that the API server can verify."""

    def __init__(self, lab: ContainerdLab, folder: Path) -> None:
        super().__init__(lab, folder)
        flags = [f"--advertise-address={_ADDRESS}", "--kubelet-preferred-address-types=InternalIP"]
        self.cluster = Cluster(folder / "cluster", flags)
        # The kubectl that is run.
        self.program = shutil.which("kubectl") or "kubectl"

    def start(self) -> None:
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        if "tlsCertFile" not in config:
            certificate, key = self.cluster.authority.issue("system:node:node-a", addresses=[_ADDRESS])
            config["tlsCertFile"] = self.cluster.write("kubelet.crt", certificate)
            config["tlsPrivateKeyFile"] = self.cluster.write("kubelet.key", key)
            path.write_text(yaml.safe_dump(config))
        super().start()

    def run(self, *arguments: str, stdin: bytes = b"", spdy: bool = False) -> subprocess.CompletedProcess[bytes]:
        """kubectl, whatever it answers."""
        return self.inside(
            lambda: subprocess.run(
                self.command(*arguments),
                input=stdin,
                capture_output=True,
                timeout=60,
                check=False,
                env={**os.environ, **(_SPDY if spdy else {})},
            )
        )

    def command(self, *arguments: str) -> list[str]:
        config = str(self.cluster.folder / "admin.conf")
        return [self.program, "--kubeconfig", config, *arguments]

    def fetched(self, pod_name: str, port: int, path: str, times: int = 1, *, spdy: bool = False) -> list[bytes]:
        """What a pod serves at a path, asked for through one port-forward."""

        def forward() -> subprocess.Popen[str]:
            command = self.command("port-forward", f"pod/{pod_name}", f":{port}")
            environment = {**os.environ, **(_SPDY if spdy else {})}
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

        with self.inside(forward) as forwarding:
            assert forwarding.stdout is not None
            address = forwarding.stdout.readline().split()[2]

            def fetch() -> bytes:
                code = (
                    "import sys, urllib.request\n"
                    f"sys.stdout.buffer.write(urllib.request.urlopen('http://{address}{path}').read())"
                )
                return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

            found = [self.inside(fetch) for _ in range(times)]
            forwarding.terminate()
        return found


_ECHO = """
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps([self.path, size, sorted(name.lower() for name in self.headers)]).encode()
        self.send_response(201)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.HTTPServer(("10.213.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def serving_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    """An API server and a node with two pods: `web`, which logs two lines and serves a page on 8080, and `cat`."""
    if missing := ContainerdLab.missing():
        pytest.skip(f"a containerd of one's own needs: {missing}")
    lab = ContainerdLab(tmp_path_factory.mktemp("ctr"))
    try:
        lab.start()
        # The lab's bridge comes with its first pod; the kubelet announces its address before that.
        network = f"ip link add cni0 type bridge; ip addr add {_ADDRESS}/24 dev cni0; ip link set cni0 up"
        subprocess.run(["nsenter", "-t", str(lab.pid), "--net", "sh", "-c", network], check=True)
        found = ServingNode(lab, tmp_path_factory.mktemp("node"))
        with found:
            found.until(lambda: "node/node-a" in found.kubectl("get", "nodes", "-o", "name"), "the node")
            found.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named("default")})
            serve = "echo one; echo two; mkdir /www; echo page > /www/index.html; exec httpd -f -p 8080 -h /www"
            web = pod("web", {"command": ["sh", "-c", serve], "ports": [{"containerPort": 8080}]})
            found.create(web)
            found.create(pod("cat", {"command": ["cat"], "stdin": True}))
            found.until(lambda: found.ready("web") and found.ready("cat"), "the pods")
            yield found
    finally:
        lab.kill()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    with serving_node(tmp_path_factory) as found:
        yield found


def _named(name: str) -> dict[str, str]:
    return {"name": name, "namespace": "default"}


def test_logs(node: ServingNode) -> None:
    assert node.run("logs", "web").stdout == b"one\ntwo\n"
    assert node.run("logs", "web", "--tail=1").stdout == b"two\n"
    assert node.run("logs", "web", "--limit-bytes=3").stdout == b"one"
    refused = node.run("logs", "web", "-c", "nobody")
    assert b"container nobody is not valid for pod web" in refused.stderr
    raw = node.run("get", "--raw", "/api/v1/namespaces/default/pods/web/log?tailLines=-1&sinceSeconds=0")
    assert b"tailLines" in raw.stderr
    assert b"sinceSeconds" in raw.stderr


def test_a_followed_log_ends_with_its_container(node: ServingNode) -> None:
    script = "echo begun; while ! [ -e /go ]; do sleep 0.1; done; echo over"
    node.create(pod("short", {"command": ["sh", "-c", script]}, restartPolicy="Never"))
    node.until(lambda: node.ready("short"), "the pod")

    def follow() -> subprocess.Popen[bytes]:
        return subprocess.Popen(node.command("logs", "-f", "short"), stdout=subprocess.PIPE)

    with node.inside(follow) as following:
        output: IO[bytes] | None = following.stdout
        assert output is not None
        assert output.readline() == b"begun\n"
        assert node.run("exec", "short", "--", "touch", "/go").returncode == 0
        assert output.read() == b"over\n"
        assert following.wait(20) == 0


@pytest.mark.parametrize("spdy", [False, True], ids=["websocket", "spdy"])
def test_exec_keeps_streams_and_exit_code_apart(node: ServingNode, spdy: bool) -> None:
    done = node.run("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3", spdy=spdy)
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert done.stderr.startswith(b"err\n")
    assert node.run("exec", "web", "--", "/nowhere", spdy=spdy).returncode != 0


@pytest.mark.parametrize("spdy", [False, True], ids=["websocket", "spdy"])
def test_input_arrives_whole_and_ends(node: ServingNode, spdy: bool) -> None:
    data = os.urandom(3_000_000)
    # `cat` only ends, and the command with it, where the end of input is passed on.
    done = node.run("exec", "-i", "web", "--", "cat", stdin=data, spdy=spdy)
    assert done.returncode == 0
    assert done.stdout == data


def test_a_terminal(node: ServingNode) -> None:
    ours, theirs = pty.openpty()
    try:
        command = node.command("exec", "-it", "web", "--", "sh", "-c", "test -t 0 && echo terminal; exit 7")

        def execute() -> int:
            return subprocess.run(
                command, stdin=theirs, stdout=theirs, stderr=theirs, timeout=60, check=False
            ).returncode

        assert node.inside(execute) == 7
        assert b"terminal\r\n" in os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("spdy", [False, True], ids=["websocket", "spdy"])
def test_attach_reaches_the_running_process(node: ServingNode, spdy: bool) -> None:
    def attach() -> subprocess.Popen[bytes]:
        environment = {**os.environ, **({"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"} if spdy else {})}
        return subprocess.Popen(
            node.command("attach", "-i", "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    with node.inside(attach) as attached:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write(b"said\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == b"said\n"
        attached.kill()


@pytest.mark.parametrize("spdy", [False, True], ids=["websocket", "spdy"])
def test_a_forwarded_port_serves_many_connections(node: ServingNode, spdy: bool) -> None:
    assert node.fetched("web", 8080, "/index.html", 3, spdy=spdy) == [b"page\n"] * 3


def test_proxies_of_nodes_and_pods(node: ServingNode) -> None:
    def get(path: str) -> bytes:
        return node.run("get", "--raw", path).stdout

    assert get("/api/v1/nodes/node-a/proxy/healthz") == b"ok"
    for name in ("web", "web:8080", "http:web:8080"):
        assert get(f"/api/v1/namespaces/default/pods/{name}/proxy/index.html") == b"page\n"
    # Without a slash the client is sent to where relative links work.
    assert get("/api/v1/namespaces/default/pods/web/proxy") == b"page\n"
    refused = node.run("get", "--raw", "/api/v1/namespaces/default/pods/ftp:web:8080/proxy/")
    assert b'invalid pod request "ftp:web:8080"' in refused.stderr


def test_a_service_is_only_proxied_to_addresses_that_its_pods_have(node: ServingNode) -> None:
    address = node.pod("web")["status"]["podIP"]
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    node.create({"apiVersion": "v1", "kind": "Service", "metadata": _named("web"), "spec": {"ports": ports}})

    def offer(name: str, ip: str) -> None:
        metadata = {**_named(name), "labels": {"kubernetes.io/service-name": "web"}}
        endpoint = {"addresses": [ip], "targetRef": {"kind": "Pod", **_named("web")}}
        node.create(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": metadata,
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080}],
                "endpoints": [endpoint],
            }
        )

    path = "/api/v1/namespaces/default/services/web:http/proxy/index.html"
    offer("false", "10.213.0.250")
    assert b"no endpoints available for service" in node.run("get", "--raw", path).stderr
    offer("true", address)
    assert node.run("get", "--raw", path).stdout == b"page\n"
    assert node.run("get", "--raw", path.replace("web:http", "web:80")).stdout == b"page\n"
    assert b"no service port 81" in node.run("get", "--raw", path.replace("web:http", "web:81")).stderr


def test_a_proxied_body_is_not_bounded_and_credentials_stay(node: ServingNode) -> None:
    body = b"x" * 5_000_000
    command = ["nsenter", "-t", str(node.lab.pid), "--net", sys.executable, "-c", _ECHO]
    certificate, key = node.cluster.authority.issue("admin", ["system:masters"])
    context = ssl.create_default_context(cadata=node.cluster.authority.pem.decode())
    context.load_cert_chain(node.cluster.write("proxied.crt", certificate), node.cluster.write("proxied.key", key))

    def send(port: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection("localhost", node.cluster.port, context=context, timeout=20)
        headers = {"Authorization": "Bearer mine", "X-Remote-User": "me", "Cookie": "a=b"}
        connection.request("POST", f"/api/v1/nodes/node-a:{port}/proxy/some%2Fplace?a=b", body, headers)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as echo:
        assert echo.stdout is not None
        port = echo.stdout.readline().strip()
        status, headers, answer = node.inside(lambda: send(port))
        echo.terminate()
    target, received, names = json.loads(answer)
    assert (status, target, received) == (201, "/some%2Fplace?a=b", len(body))
    assert "access-control-allow-origin" not in headers
    assert "cookie" in names
    assert not {"authorization", "x-remote-user"} & set(names)

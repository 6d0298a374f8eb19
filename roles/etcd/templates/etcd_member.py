#!/usr/bin/python3 -I
"""Finds out whether this etcd member bootstraps a cluster or joins one, then becomes etcd.

etcd must be told at its first start, and the wrong answer is dangerous: a member that lost its data and bootstraps
again keeps its identity but not what it had acknowledged, and a cluster may lose writes with it. So nothing is assumed
from silence. The rule, for a member without data:

- A peer knows a cluster. Join it. An entry of this member that never started is used as it is; one that had started
  belonged to the data that is gone, so it is removed and added anew, with a new identity.
- Every peer says that it has no data either. Only then bootstrap, all with the same list.
- Otherwise wait: a peer that does not answer may be the one that knows.

A waiting member says so itself: it listens on the peer port, where later etcd listens, and answers only to holders of a
certificate of etcd's authority. It stops listening once every peer has acknowledged the answer, or already runs etcd.
What it has heard it keeps in the data directory, so a restart in the middle forgets nothing, a lost disk everything.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any, NoReturn

PKI = Path("/etc/kubernetes/pki/etcd")
DATA = Path("/var/lib/etcd")
NOTES = DATA / "bootstrap.json"
CONFIGURATION = Path("/etc/etcd/members.json")
PROBE = "/keelson/member"
CLIENT_PORT, PEER_PORT = 2379, 2380
INTERVAL = 1.0


def peer_url(address: str) -> str:
    """The URL that an etcd member is known by among its peers."""
    return f"https://{address}:{PEER_PORT}"


def initial_cluster(members: list[dict[str, str]]) -> str:
    """ETCD_INITIAL_CLUSTER of members with a name and an address."""
    return ",".join(f"{member['name']}={peer_url(member['address'])}" for member in members)


def may_bootstrap(peers: set[str], empty: set[str], released: set[str]) -> bool:
    """Whether to bootstrap: every peer was seen without data, and none needs this member's own answer any more."""
    return empty >= peers and released >= peers


def plan(name: str, address: str, known: list[dict[str, Any]]) -> tuple[str, Any]:
    """What to do about the cluster that a peer knows: ("start", ETCD_INITIAL_CLUSTER), ("remove", id) or ("add", None).

    `known` is etcdctl's list: ID, name (empty until first started), peerURLs, clientURLs (empty until first started).
    """
    own = peer_url(address)
    for member in known:
        if own not in member.get("peerURLs", []):
            continue
        if member.get("clientURLs"):
            return "remove", member["ID"]
        others = [
            f"{each['name']}={url}"
            for each in known
            if each is not member and each.get("name")
            for url in each["peerURLs"]
        ]
        return "start", ",".join([*others, f"{name}={own}"])
    return "add", None


SAID: dict[str, str] = {}


def say(subject: str, text: str) -> None:
    """Tell the journal, once as long as it stays the same."""
    if SAID.get(subject) != text:
        SAID[subject] = text
        sys.stderr.write(f"{subject}: {text}\n")
        sys.stderr.flush()


def etcdctl(address: str, *arguments: str) -> dict[str, Any] | None:
    """Ask the member at an address; None where it does not answer, or has no quorum to answer with."""
    command = ["etcdctl", f"--endpoints=https://{address}:{CLIENT_PORT}", f"--cacert={PKI / 'ca.crt'}"]
    command += [f"--cert={PKI / 'healthcheck-client.crt'}", f"--key={PKI / 'healthcheck-client.key'}"]
    command += ["--dial-timeout=2s", "--command-timeout=5s", "--write-out=json", *arguments]
    environment = {"PATH": os.environ.get("PATH", "/usr/bin"), "ETCDCTL_API": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        # Its last line says why; those before it are the client's own log.
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        say(address, f"etcdctl {' '.join(arguments)}: {reason}")
        return None
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Waiting:
    """The listener of a member without data, and what it has learned of its peers."""

    def __init__(self, name: str, token: str) -> None:
        self.name = name
        self.token = token
        # Names of peers that said that they have no data. Kept on disk: a peer that has been told so stops saying it.
        self.empty: set[str] = set()
        # Names of peers that have acknowledged that this member has no data, or run etcd already.
        self.released: set[str] = set()
        self.changed = threading.Condition()
        if NOTES.exists():
            notes = json.loads(NOTES.read_text())
            self.empty = set(notes["empty"]) if notes["token"] == token else set()

    def found_empty(self, peer: str) -> None:
        """Remember that a peer has no data."""
        if peer in self.empty:
            return
        self.empty.add(peer)
        draft = NOTES.with_suffix(".new")
        with draft.open("w") as file:
            json.dump({"token": self.token, "empty": sorted(self.empty)}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(NOTES)

    def release(self, peer: str) -> None:
        """Note that a peer needs no answer any more."""
        with self.changed:
            self.released.add(peer)
            self.changed.notify_all()

    def listen(self, address: str) -> http.server.ThreadingHTTPServer:
        """Answer peers on the peer port, with TLS both ways."""
        waiting = self
        body = json.dumps({"name": self.name, "token": self.token, "data": False}).encode()

        class Answer(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                asked = urllib.parse.urlsplit(self.path)
                query = urllib.parse.parse_qs(asked.query)
                self.send_response(200 if asked.path == PROBE else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if waiting.name in query.get("knows", []):
                    waiting.release(query["from"][0])

            def log_message(self, *_arguments: Any) -> None:
                """Nothing: each peer asks every second."""

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(PKI / "ca.crt"))
        context.load_cert_chain(PKI / "peer.crt", PKI / "peer.key")
        context.verify_mode = ssl.CERT_REQUIRED
        server = http.server.ThreadingHTTPServer((address, PEER_PORT), Answer)
        # The handshake belongs to the connection's own thread, or one silent client stops everybody.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def ask(self, address: str) -> bool:
        """Whether a peer says that it has no data. Raises OSError where nothing answers on its peer port."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(PKI / "ca.crt"))
        context.load_cert_chain(PKI / "peer.crt", PKI / "peer.key")
        query = urllib.parse.urlencode({"from": self.name, "knows": sorted(self.empty)}, doseq=True)
        connection = http.client.HTTPSConnection(address, PEER_PORT, timeout=3, context=context)
        try:
            connection.request("GET", f"{PROBE}?{query}")
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                return False
            said = json.loads(answer.read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"its answer makes no sense: {error}") from error
        finally:
            connection.close()
        return bool(said.get("token") == self.token and said.get("data") is False)


def join(name: str, address: str, peer: str, known: list[dict[str, Any]]) -> str | None:
    """One step towards membership in the cluster that a peer knows; the initial cluster once this member may start."""
    action, argument = plan(name, address, known)
    if action == "start":
        return str(argument)
    if action == "remove":
        say(name, f"removing this member's former self {argument:x}, whose data is gone")
        etcdctl(peer, "member", "remove", f"{argument:x}")
    else:
        say(name, f"asking {peer} to add this member to its cluster")
        etcdctl(peer, "member", "add", name, f"--peer-urls={peer_url(address)}")
    return None


def start(cluster: str, state: str) -> NoReturn:
    """Become etcd."""
    environment = {**os.environ, "ETCD_INITIAL_CLUSTER": cluster, "ETCD_INITIAL_CLUSTER_STATE": state}
    os.execve("/usr/bin/etcd", ["/usr/bin/etcd"], environment)  # noqa: S606 (no shell is wanted)


def first_start(name: str, address: str, members: list[dict[str, str]], token: str) -> NoReturn:
    """Wait until it is known whether to bootstrap or to join, and do it."""
    peers = {member["name"]: member["address"] for member in members if member["name"] != name}
    waiting = Waiting(name, token)
    server = waiting.listen(address)
    say(name, f"no data yet; asking {', '.join(peers) or 'nobody, the only member'}")
    cluster, state = initial_cluster(members), "new"
    while state == "new" and not may_bootstrap(set(peers), waiting.empty, waiting.released):
        for peer, place in peers.items():
            try:
                if waiting.ask(place):
                    waiting.found_empty(peer)
                    continue
            except OSError as error:
                say(peer, f"no answer on the peer port: {error}")
                continue
            # It listens and is no waiting member, so it runs etcd. Where its cluster has a quorum, that decides.
            # Without one, a peer that had no data before is bootstrapping, which it does with this member.
            known = etcdctl(place, "member", "list")
            if known is not None:
                if joined := join(name, address, place, known["members"]):
                    cluster, state = joined, "existing"
                    break
            elif peer in waiting.empty:
                waiting.release(peer)
        else:
            with waiting.changed:
                waiting.changed.wait(INTERVAL)
    server.shutdown()
    server.server_close()
    say(name, f"starting with {cluster}, {state}")
    start(cluster, state)


def main() -> NoReturn:
    """Decide and become etcd."""
    configuration = json.loads(CONFIGURATION.read_text())
    name, address = configuration["name"], configuration["address"]
    if not (DATA / "member" / "wal").is_dir():
        first_start(name, address, configuration["members"], os.environ["ETCD_INITIAL_CLUSTER_TOKEN"])
    NOTES.unlink(missing_ok=True)
    # With data the list is not used, but must be well formed.
    start(f"{name}={peer_url(address)}", "existing")


if __name__ == "__main__":
    main()

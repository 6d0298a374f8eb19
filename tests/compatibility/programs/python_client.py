"""What programs on the official Python client do for long: `python python_client.py KUBECONFIG`; fails if they may not.

An informer, a dynamic client that applies and watches, and two candidates for one lease. Half-way it prints "restart"
and waits for a line: the server is to be another process by then.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client, config, dynamic
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

_SPACE = "default"
_PATIENCE_SECONDS = 60.0


def until(what: str, check: Callable[[], Any]) -> Any:
    """What the check returns once that is true."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(what)


def config_map(name: str, value: str) -> client.V1ConfigMap:
    """An object for the informer."""
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"watched": "yes"}), data={"a": value})


class Informed:
    """ConfigMaps as an informer tells of them."""

    def __init__(self) -> None:
        self.api = client.CoreV1Api()
        self.told: list[tuple[str, str]] = []
        make: Any = SharedInformer
        self.informer = make(self.api.list_namespaced_config_map, _SPACE, label_selector="watched=yes")
        for type_ in (ADDED, MODIFIED, DELETED):
            self.informer.add_event_handler(type_, lambda obj, type_=type_: self._hear(type_, obj))

    def _hear(self, type_: str, obj: Any) -> None:
        self.told.append((type_, obj.metadata.name))

    def before(self) -> None:
        """One object is there already, one comes, one changes."""
        self.api.create_namespaced_config_map(_SPACE, config_map("first", "1"))
        self.informer.start()
        until("the list", lambda: self.told == [(ADDED, "first")])
        self.api.create_namespaced_config_map(_SPACE, config_map("second", "1"))
        self.api.patch_namespaced_config_map("first", _SPACE, {"data": {"a": "2"}})
        until("two events", lambda: self.told[1:] == [(ADDED, "second"), (MODIFIED, "first")])

    def after(self) -> None:
        """Nothing is missed that happened since, nor told twice, and the cache is what the server has.

        The new server has no history of before: the informer lists again, and tells of all that it knew as modified.
        """
        heard = len(self.told)
        self.api.delete_namespaced_config_map("first", _SPACE)
        self.api.create_namespaced_config_map(_SPACE, config_map("third", "1"))
        wanted = [(DELETED, "first"), (ADDED, "third")]
        until("two more", lambda: [each for each in self.told[heard:] if each[0] != MODIFIED] == wanted)
        listed: Any = self.api.list_namespaced_config_map(_SPACE, label_selector="watched=yes")
        cached, there = (
            {each.metadata.name: each.metadata.resource_version for each in found}
            for found in (self.informer.cache.list(), listed.items)
        )
        assert cached == there


def things() -> None:
    """Custom objects by the dynamic client: applied by two owners, watched, deleted."""
    make: Any = dynamic.DynamicClient
    api = make(client.ApiClient())
    kind = api.resources.get(api_version="example.com/v1", kind="Thing")
    body = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "dynamic"}, "spec": {"size": 1}}
    made = kind.server_side_apply(body=body, namespace=_SPACE, field_manager="one")
    assert made.spec.size == 1
    other = {**body, "spec": {"size": 2}}
    try:
        kind.server_side_apply(body=other, namespace=_SPACE, field_manager="two")
        raise AssertionError("there was no conflict")
    except dynamic.exceptions.ConflictError:
        kind.server_side_apply(body=other, namespace=_SPACE, field_manager="two", force_conflicts=True)
    patched = kind.patch(
        body={"spec": {"replicas": 3}}, name="dynamic", namespace=_SPACE, content_type="application/merge-patch+json"
    )
    assert (patched.spec.size, patched.spec.replicas) == (2, 3)
    kind.delete(name="dynamic", namespace=_SPACE)
    seen = []
    version = made.metadata.resourceVersion
    for event in kind.watch(namespace=_SPACE, resource_version=version, timeout=20):
        seen.append(event["type"])
        if seen[-1] == "DELETED":
            break
    assert seen == ["MODIFIED", "MODIFIED", "DELETED"]


def election() -> None:
    """One leads; it fails, and the other takes over."""
    leading: list[str] = []
    failing = threading.Event()
    untyped: Any = LeaseLock, electionconfig.Config, leaderelection.LeaderElection

    def lead(name: str) -> None:
        leading.append(name)
        if leading == [name]:
            failing.wait()
            raise RuntimeError("it leads no more")

    def run(name: str) -> None:
        make_lock, configure, elect = untyped
        lock = make_lock("elected", _SPACE, name)
        chosen = configure(
            lock, lease_duration=4, renew_deadline=3, retry_period=1, onstarted_leading=lambda: lead(name),
            onstopped_leading=lambda: None,
        )  # fmt: skip
        elect(chosen).run()

    for name in ("a", "b"):
        threading.Thread(target=run, args=(name,), daemon=True).start()
    first = until("a leader", lambda: list(leading))[0]
    failing.set()
    second = until("another leader", lambda: leading[1:])[0]
    assert {first, second} == {"a", "b"}
    lease: Any = client.CoordinationV1Api().read_namespaced_lease("elected", _SPACE)
    assert lease.spec.holder_identity == second


load: Any = config.load_kube_config
load(sys.argv[1])
informed = Informed()
informed.before()
things()
print("restart", flush=True)  # noqa: T201 - whoever runs this waits for it
sys.stdin.readline()
informed.after()
election()

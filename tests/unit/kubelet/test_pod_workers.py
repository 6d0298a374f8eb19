"""Workers against the runtime in memory: whole lives of pods, with the API's side played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kubelet.decisions.container_configs import NodeFacts
from keelson.kubelet.decisions.environments import ConfigError
from keelson.kubelet.environs import Environs
from keelson.kubelet.handlers import Handlers
from keelson.kubelet.images import Images
from keelson.kubelet.pod_workers import PodWorkers
from keelson.kubelet.probers import Probers
from keelson.kubelet.relists import Relister
from keelson.kubelet.runtimes.fakes import FakeRuntime
from keelson.kubelet.runtimes.ports import ExecResult
from keelson.kubelet.volumes.managers import VolumeManager

IMAGE = "tools:1"


class Objects:
    """The API's objects as the test sets them."""

    def __init__(self) -> None:
        self.maps: dict[str, Object] = {}

    async def config_maps(self, namespace: str, names: set[str], not_before: Any) -> dict[str, Object | None]:
        return {name: self.maps.get(name) for name in names}

    async def secrets(self, namespace: str, names: set[str], not_before: Any) -> dict[str, Mapping[str, bytes] | None]:
        return dict.fromkeys(names)

    async def claimed_volumes(self, pod: Object) -> dict[str, Object]:
        return {}

    async def runtime_handler(self, runtime_class: str) -> str:
        raise ConfigError(f'RuntimeClass "{runtime_class}" not found')

    async def token(self, pod: Object, audience: str, seconds: int) -> bytes:
        return b"token"

    def services(self) -> tuple[Object, ...]:
        return ()

    def forget(self, uid: str) -> None:
        return None


class Node:
    """A kubelet without an API server."""

    def __init__(self, root: Path, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.root = root
        self.objects = Objects()
        self.statuses: dict[str, Object] = {}
        self.events: list[str] = []
        self.finished: list[str] = []
        self.refusal: tuple[str, str] | None = None
        self.changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def _set_status(self, pod: Object, status: Object) -> None:
        self.statuses[meta.uid(pod)] = status
        self.changed.set()

    def _tell(self, pod: Object, type_: str, reason: str, message: str, container: str = "") -> None:
        self.events.append(reason)

    def _finish(self, pod: Object) -> None:
        self.finished.append(meta.uid(pod))
        self.changed.set()

    async def __aenter__(self) -> Node:
        self.relister = Relister(self.runtime, lambda uid: self.workers.wake(uid))
        self.handlers = await Handlers(self.runtime).__aenter__()
        self.environs = Environs(
            runtime=self.runtime,
            relister=self.relister,
            images=Images(self.runtime, lambda: datetime.now(UTC)),
            volumes=VolumeManager(self.root),
            handlers=self.handlers,
            objects=self.objects,
            tell=self._tell,
            now=lambda: datetime.now(UTC),
            set_status=self._set_status,
            known_status=self.statuses.get,
            finish=self._finish,
            admit=lambda _pod: self.refusal,
            root=self.root,
            facts=NodeFacts(log_folder=str(self.root / "logs" / "pods")),
            host_ips=("192.0.2.1",),
        )
        self.workers = PodWorkers(self.environs)
        self.environs.probers = Probers(
            self.handlers,
            self.relister,
            now=self.environs.now,
            on_change=lambda uid: self.workers.wake(uid),
            tell=self._tell,
        )
        self._tasks.append(asyncio.create_task(self.relister.run()))
        await self.relister.listed()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.environs.probers.close()
        await self.workers.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.handlers.__aexit__()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                self.changed.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self.changed.wait()
                except TimeoutError:
                    pass

    def state(self, name: str, uid: str = "u") -> str:
        status = self.statuses.get(uid) or {}
        for entry in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            if entry["name"] == name:
                kind, detail = next(iter(entry["state"].items()))
                return f"{kind} {detail.get('reason', '')}".strip()
        return "absent"

    def phase(self, uid: str = "u") -> str:
        return str((self.statuses.get(uid) or {}).get("phase", ""))

    def ready(self, uid: str = "u") -> bool:
        return meta.condition_is({"status": self.statuses.get(uid) or {}}, "Ready")


@pytest.fixture
def runtime() -> FakeRuntime:
    found = FakeRuntime()
    found.add_image(IMAGE)
    return found


@pytest.fixture
async def node(tmp_path: Path, runtime: FakeRuntime) -> AsyncIterator[Node]:
    async with Node(tmp_path, runtime) as found:
        yield found


def container(name: str, **more: Any) -> Object:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", **more}


def pod(*containers: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "generation": 1},
        "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 5, **spec},
    }


def deleting(made: Object, grace: int = 5) -> Object:
    metadata = {**made["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    return {**made, "metadata": metadata}


async def test_a_pod_runs_and_is_deleted(node: Node, runtime: FakeRuntime) -> None:
    made = pod(container("a"), container("b"))
    node.workers.update(made)
    await node.until(node.ready)
    status = node.statuses["u"]
    assert (status["phase"], status["observedGeneration"]) == ("Running", 1)
    assert status["podIP"].startswith("10.0.0.")
    assert status["hostIP"] == "192.0.2.1"
    assert node.events == ["Pulled", "Created", "Started"] * 2

    node.workers.update(deleting(made))
    await node.until(lambda: node.finished == ["u"])
    assert "stop a 5" in runtime.log
    assert node.phase() == "Failed"
    node.workers.remove("u")
    await node.until(lambda: "u" not in node.workers)
    assert not await runtime.sandboxes()
    assert not (node.root / "pods" / "u").exists()


async def test_init_containers_and_sidecars_come_up_in_order(node: Node, runtime: FakeRuntime) -> None:
    init = [container("i"), container("s", restartPolicy="Always")]
    node.workers.update(pod(container("a"), initContainers=init, restartPolicy="Never"))
    await node.until(lambda: node.state("i") == "running")
    assert node.state("a") == "waiting PodInitializing"
    assert node.phase() == "Pending"
    runtime.exit("i")
    await node.until(node.ready)
    assert [line for line in runtime.log if line.startswith("start")] == ["start i", "start s", "start a"]
    runtime.exit("a")
    await node.until(lambda: node.phase() == "Succeeded")
    assert "stop s 5" in runtime.log


async def test_a_crash_is_started_again_at_once_and_then_waits(node: Node, runtime: FakeRuntime) -> None:
    node.workers.update(pod(container("a")))
    await node.until(lambda: node.state("a") == "running")
    runtime.exit("a", 1)
    await node.until(lambda: node.statuses["u"]["containerStatuses"][0]["restartCount"] == 1)
    await node.until(lambda: node.state("a") == "running")
    runtime.exit("a", 1)
    await node.until(lambda: node.state("a") == "waiting CrashLoopBackOff")
    entry = node.statuses["u"]["containerStatuses"][0]
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert node.phase() == "Running"
    assert "BackOff" in node.events


async def test_another_worker_takes_over_without_a_restart(tmp_path: Path, runtime: FakeRuntime) -> None:
    made = pod(container("a", readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1}))
    async with Node(tmp_path, runtime) as first:
        first.workers.update(made)
        await first.until(first.ready)
        status = first.statuses["u"]
    before = list(runtime.log)
    # From here on the probe fails, so that readiness can only come from what was known before.
    runtime.executor = lambda _name, _command: ExecResult(exit_code=1)
    async with Node(tmp_path, runtime) as second:
        second.workers.update({**made, "status": status})
        await second.until(lambda: bool(second.statuses))
        assert second.ready()
        assert second.statuses["u"]["containerStatuses"][0]["restartCount"] == 0
    assert runtime.log == before


async def test_a_container_waits_for_its_config_map(node: Node) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "k"}}}]
    node.workers.update(pod(container("a", env=env)))
    await node.until(lambda: node.state("a") == "waiting CreateContainerConfigError")
    assert node.phase() == "Pending"


async def test_images(node: Node, runtime: FakeRuntime) -> None:
    runtime.pullable.add("there:1")
    never = {"name": "never", "image": "none:1", "imagePullPolicy": "Never"}
    fails = {"name": "fails", "image": "none:2", "imagePullPolicy": "Always"}
    works = {"name": "works", "image": "there:1", "imagePullPolicy": "IfNotPresent"}
    node.workers.update(pod(never, fails, works))
    await node.until(lambda: node.state("works") == "running")
    assert node.state("never") == "waiting ErrImageNeverPull"
    assert node.state("fails") == "waiting ErrImagePull"
    assert "pull there:1" in runtime.log


async def test_a_pod_that_is_not_admitted_fails_and_never_runs(node: Node, runtime: FakeRuntime) -> None:
    node.refusal = ("OutOfcpu", "Node didn't have enough resource: cpu")
    node.workers.update(pod(container("a")))
    await node.until(lambda: node.phase() == "Failed")
    assert node.statuses["u"]["reason"] == "OutOfcpu"
    assert "containerStatuses" not in node.statuses["u"]
    assert not runtime.log


async def test_an_eviction_fails_the_pod_once_it_has_ended(node: Node, runtime: FakeRuntime) -> None:
    node.workers.update(pod(container("a")))
    await node.until(node.ready)
    worker = node.workers.get("u")
    assert worker is not None
    worker.evict("Evicted", "The node was low on resource: memory.", 0.0)
    await node.until(lambda: node.phase() == "Failed")
    assert node.statuses["u"]["reason"] == "Evicted"
    assert "stop a 0" in runtime.log
    assert not node.finished


async def test_a_liveness_failure_restarts_the_container(node: Node, runtime: FakeRuntime) -> None:
    runtime.executor = lambda _name, _command: ExecResult(exit_code=1, stdout=b"sick")
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
    node.workers.update(pod(container("a", livenessProbe=probe)))
    await node.until(lambda: "stop a 5" in runtime.log)
    await node.until(lambda: node.statuses["u"]["containerStatuses"][0]["restartCount"] == 1)
    assert "Unhealthy" in node.events
    assert "Killing" in node.events


async def test_a_lost_sandbox_is_replaced(node: Node, runtime: FakeRuntime) -> None:
    node.workers.update(pod(container("a")))
    await node.until(node.ready)
    address = node.statuses["u"]["podIP"]
    await runtime.stop_sandbox((await runtime.sandboxes())[0].id)
    await node.until(lambda: node.ready() and node.statuses["u"]["podIP"] != address)
    assert "SandboxChanged" in node.events
    assert node.statuses["u"]["containerStatuses"][0]["restartCount"] == 1


async def test_a_shortened_grace_period_is_heard(node: Node, runtime: FakeRuntime) -> None:
    hook = {"preStop": {"sleep": {"seconds": 60}}}
    made = pod(container("a", lifecycle=hook), terminationGracePeriodSeconds=90)
    node.workers.update(made)
    await node.until(node.ready)
    node.workers.update(deleting(made, 90))
    await node.until(lambda: "Killing" in node.events)
    node.workers.update(deleting(made, 0))
    await node.until(lambda: node.finished == ["u"])
    assert "stop a 0" in runtime.log


async def test_volumes_follow_and_go(node: Node, runtime: FakeRuntime) -> None:
    node.objects.maps["cm"] = {"data": {"k": "one"}}
    made = pod(
        container("a", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        volumes=[{"name": "v", "configMap": {"name": "cm"}}],
        restartPolicy="Never",
    )
    node.workers.update(made)
    await node.until(node.ready)
    path = node.root / "pods/u/volumes/kubernetes.io~configmap/v/k"
    assert path.read_text() == "one"
    mounts = {mount.container_path: mount.host_path for mount in runtime.config("container-2").mounts}
    assert mounts["/v"] == str(path.parent)
    assert mounts["/etc/hosts"] == str(node.root / "pods/u/etc-hosts")
    node.objects.maps["cm"] = {"data": {"k": "two"}}
    node.workers.wake("u")
    await node.until(lambda: path.read_text() == "two")
    runtime.exit("a")
    await node.until(lambda: node.phase() == "Succeeded" and not path.exists())

"""What every container runtime must do for the kubelet: one suite for all implementations of the port."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from keelson.api.meta import Object
from keelson.kubelet.decisions import container_configs, environments
from keelson.kubelet.decisions.container_configs import NodeFacts
from keelson.kubelet.decisions.network_files import Dns
from keelson.kubelet.decisions.observations import Container
from keelson.kubelet.runtimes import ports
from keelson.kubelet.runtimes.fakes import FakeRuntime
from keelson.kubelet.runtimes.ports import Runtime

from .containerd_labs import TOOLS

_SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]


@dataclass
class Made:
    """A pod made through the port."""

    uid: str
    sandbox: str
    container: str


def pod(command: list[str] | None = None) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": str(uuid.uuid4()), "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": TOOLS, "command": command or _SLEEP}]},
    }


async def make(runtime: Runtime, logs: Path, spec: Object | None = None, *, start: bool = True) -> Made:
    spec = spec or pod()
    facts = NodeFacts(log_folder=str(logs))
    config = container_configs.sandbox_config(spec, Dns(), facts, attempt=0)
    await asyncio.to_thread(Path(config.log_directory).mkdir, parents=True)
    sandbox = await runtime.run_sandbox(config)
    container = spec["spec"]["containers"][0]
    image = await runtime.image(TOOLS)
    assert image is not None
    made = await runtime.create_container(
        sandbox,
        container_configs.container_config(
            spec,
            container,
            facts,
            restart_count=0,
            image_id=image.id,
            image_user=image.user,
            environment=environments.environment(spec, container, environments.Sources()),
            mounts=[],
        ),
        config,
    )
    if start:
        await runtime.start_container(made)
    return Made(spec["metadata"]["uid"], sandbox, made)


async def ended(runtime: Runtime, container: str) -> Container:
    async with asyncio.timeout(10):
        while (found := await runtime.container(container)).state != "exited":  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return found


async def test_it_names_itself_and_is_ready(runtime: Runtime) -> None:
    assert (await runtime.version()).api_version == "v1"
    health = await runtime.health()
    assert health.runtime_ready
    assert health.network_ready


async def test_a_sandbox_has_an_address_and_our_labels(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    sandbox = await runtime.sandbox(made.sandbox)
    assert sandbox.ready
    assert sandbox.ips
    assert (sandbox.uid, sandbox.namespace, sandbox.name, sandbox.attempt) == (made.uid, "default", "web", 0)
    assert sandbox.labels["io.kubernetes.pod.uid"] == made.uid
    assert [found.id for found in await runtime.sandboxes(made.uid)] == [made.sandbox]
    assert not await runtime.sandboxes("another")


async def test_the_same_attempt_of_a_pod_is_made_once(runtime: Runtime, logs: Path) -> None:
    spec = pod()
    await make(runtime, logs, spec)
    config = container_configs.sandbox_config(spec, Dns(), NodeFacts(log_folder=str(logs)), attempt=0)
    with pytest.raises(ports.CriError):
        await runtime.run_sandbox(config)


async def test_a_container_is_created_then_running_then_exited(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs, start=False)
    assert (await runtime.container(made.container)).state == "created"
    await runtime.start_container(made.container)
    running = await runtime.container(made.container)
    assert running.state == "running"
    assert running.started_at is not None
    assert running.restart_count == 0
    assert running.hash
    await runtime.stop_container(made.container, 5)
    exited = await runtime.container(made.container)
    assert exited.state == "exited"
    assert exited.finished_at is not None
    assert exited.finished_at >= running.started_at
    assert Path(exited.log_path).parent.parent.parent == logs
    assert [found.id for found in await runtime.containers(made.uid)] == [made.container]


async def test_starting_twice_is_refused(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    with pytest.raises(ports.CriError):
        await runtime.start_container(made.container)


async def test_an_image_that_is_not_there(runtime: Runtime, logs: Path) -> None:
    assert await runtime.image("keelson.test/none:1") is None
    spec = pod()
    config = container_configs.sandbox_config(spec, Dns(), NodeFacts(log_folder=str(logs)), attempt=0)
    with pytest.raises(ports.CriError):
        await runtime.pull_image("127.0.0.1:1/none:1", config)
    await runtime.remove_image("keelson.test/none:1")
    assert any(TOOLS in image.names for image in await runtime.images())


async def test_stopping_and_removing_are_idempotent(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    for _ in range(2):
        await runtime.stop_container(made.container, 1)
    for _ in range(2):
        await runtime.stop_sandbox(made.sandbox)
    assert not (await runtime.sandbox(made.sandbox)).ready
    for _ in range(2):
        await runtime.remove_container(made.container)
    for _ in range(2):
        await runtime.remove_sandbox(made.sandbox)
    assert not await runtime.containers(made.uid)


async def test_removing_a_sandbox_removes_its_containers(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    await runtime.remove_sandbox(made.sandbox)
    assert not await runtime.sandboxes(made.uid)
    assert not await runtime.containers(made.uid)


async def test_what_is_unknown_is_not_found(runtime: Runtime) -> None:
    with pytest.raises(ports.NotFoundError):
        await runtime.container("0" * 64)
    with pytest.raises(ports.NotFoundError):
        await runtime.sandbox("0" * 64)


async def test_a_command_run_inside_gives_its_status(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    assert (await runtime.exec_sync(made.container, ["sh", "-c", "exit 0"], 5)).exit_code == 0
    assert (await runtime.exec_sync(made.container, ["sh", "-c", "exit 7"], 5)).exit_code == 7


async def test_streaming_addresses(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    exec_url = await runtime.exec_url(made.container, ["sh"], stdin=True, stdout=True, stderr=False, tty=True)
    attach_url = await runtime.attach_url(made.container, stdin=False, stdout=True, stderr=True, tty=False)
    forward_url = await runtime.port_forward_url(made.sandbox, [80])
    assert all(url.startswith("http://127.0.0.1:") for url in (exec_url, attach_url, forward_url))


async def test_usage_is_told_of_running_containers(runtime: Runtime, logs: Path) -> None:
    made = await make(runtime, logs)
    assert made.container in {usage.container_id for usage in await runtime.usages()}


@pytest.mark.lab
async def test_an_exit_status_and_a_log_come_out_of_a_real_container(runtime: Runtime, logs: Path) -> None:
    if isinstance(runtime, FakeRuntime):
        pytest.skip("processes are real only in a real runtime")
    made = await make(runtime, logs, pod(["sh", "-c", "echo out; echo err >&2; exit 3"]))
    found = await ended(runtime, made.container)
    assert (found.exit_code, found.reason) == (3, "Error")
    lines = (await asyncio.to_thread(Path(found.log_path).read_bytes)).splitlines()
    assert sorted(line.split(b" ", 1)[1] for line in lines) == [b"stderr F err", b"stdout F out"]

"""The kubelet put together: from settings and credentials to running tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client import kubeconfigs
from keelson.client.events import Recorder
from keelson.client.informers import Informer
from keelson.client.rest import Client
from keelson.component_base import certificates as tls
from keelson.component_base import daemons, serving
from keelson.component_base.health import Checks

from . import certificates, machines
from .api_objects import ApiObjects
from .configurations import KubeletConfiguration
from .decisions import admissions, network_files, node_objects
from .decisions.container_configs import NodeFacts
from .environs import Environs
from .handlers import Handlers
from .housekeeping import Housekeeping
from .images import Images
from .node_agents import NodeAgent
from .pod_workers import PodWorkers
from .probers import Probers
from .relists import Relister
from .runtimes import ports
from .runtimes.cri import CriRuntime
from .serving.access import Access
from .serving.servers import Routes
from .status_writers import StatusWriter
from .volumes.managers import VolumeManager

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# What the node says that it is: the API version that it was written against, and our own version behind it.
_KUBERNETES = "v1.36.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the flags say beside the configuration."""

    node: str
    kubeconfig: str
    bootstrap_kubeconfig: str = ""
    node_ips: tuple[str, ...] = ()
    cert_dir: Path = Path("/var/lib/kubelet/pki")
    root_dir: Path = Path("/var/lib/kubelet")
    log_dir: Path = Path("/var/log/pods")
    labels: tuple[tuple[str, str], ...] = ()


def version() -> str:
    """The version that the node reports."""
    return f"{_KUBERNETES}+keelson.{metadata.version('keelson')}"


def _now() -> datetime:
    return datetime.now(UTC)


class Kubelet:
    """One node's agent. `run(stop)` is its life."""

    def __init__(self, options: Options, configuration: KubeletConfiguration) -> None:
        self._options = options
        self._configuration = configuration
        self._relister: Relister | None = None
        self._health = ports.Health(runtime_ready=False, network_ready=False, runtime_message="not asked yet")
        self._pods: Informer | None = None
        self._known: dict[str, Object] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises FatalError where it can't begin."""
        healthz = Checks()
        healthz.add("syncloop", self._stalled)
        configuration, options = self._configuration, self._options
        for name in configuration.without_meaning:
            log.info("the configuration's field %s has no effect in this kubelet", name)
        async with AsyncExitStack() as stack:
            app = serving.application({"/healthz": healthz})
            if configuration.healthz_port:
                address, port = configuration.healthz_address, configuration.healthz_port
                await self._listen(stack, serving.Server(app, address, port), address, port)
            runtime = await stack.enter_async_context(CriRuntime(configuration.container_runtime_endpoint))
            # The process serves; whether it works is /healthz' to say. A service manager that waited for credentials
            # would wait for a cluster that may be waiting for this node.
            daemons.notify("READY=1\nSTATUS=waiting for credentials and the runtime")
            client = await self._or_stop(stop, self._credentials(stack))
            if client is None:
                return
            version_ = await self._or_stop(stop, self._await_runtime(runtime))
            if version_ is None:
                return
            await self._work(stop, stack, client, runtime, version_, healthz)
        log.info("stopped; pods keep running, node %s", options.node)

    async def _listen(self, stack: AsyncExitStack, server: serving.Server, address: str, port: int) -> None:
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            raise daemons.FatalError(f"can't listen on {address}:{port}: {error.strerror}") from error

    async def _or_stop(self, stop: asyncio.Event, work: Awaitable[_T]) -> _T | None:
        """The work's result, None where the daemon is to stop before."""
        job, waiter = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([job, waiter], return_when=asyncio.FIRST_COMPLETED)
            return job.result() if job.done() else None
        finally:
            for task in (job, waiter):
                task.cancel()
            await asyncio.gather(job, waiter, return_exceptions=True)

    async def _credentials(self, stack: AsyncExitStack) -> Client:
        options = self._options
        try:
            await certificates.bootstrap(
                options.bootstrap_kubeconfig, options.kubeconfig, options.cert_dir, options.node, _now
            )
            config = kubeconfigs.load(options.kubeconfig)
        except kubeconfigs.KubeconfigError as error:
            raise daemons.FatalError(str(error)) from error
        return await stack.enter_async_context(Client(config, user_agent=f"kubelet/{version()}"))

    async def _await_runtime(self, runtime: CriRuntime) -> ports.Version:
        while True:
            try:
                found = await runtime.version()
            except ports.CriError as error:
                log.warning("the runtime at %s: %s", self._configuration.container_runtime_endpoint, error)
                await asyncio.sleep(1.0)
                continue
            if found.api_version != "v1":
                raise daemons.FatalError(f"the runtime speaks CRI {found.api_version}; v1 is needed")
            return found

    def _stalled(self) -> str | None:
        return "not started yet" if self._relister is None else self._relister.failure()

    async def _work(
        self,
        stop: asyncio.Event,
        stack: AsyncExitStack,
        client: Client,
        runtime: CriRuntime,
        version_: ports.Version,
        healthz: Checks,
    ) -> None:
        options, configuration = self._options, self._configuration
        for folder in (options.root_dir, options.log_dir):
            folder.mkdir(parents=True, exist_ok=True)
        machine = machines.machine(options.root_dir, options.node)
        if missing := sorted({"cpu", "memory", "pids"} - machine.controllers):
            log.warning("limits are not enforced: no cgroup v2 controller for %s here", ", ".join(missing))
        settings = node_objects.Settings(
            name=options.node,
            labels=dict(options.labels),
            taints=configuration.register_with_taints,
            max_pods=configuration.max_pods,
            reserved=(configuration.kube_reserved, configuration.system_reserved),
            eviction_hard=configuration.eviction_hard,
        )
        addresses = options.node_ips or (machines.default_address(urlsplit(client.server).hostname or ""),)
        recorder = Recorder(client, component="kubelet", host=options.node)
        services = Informer(client, "services")
        pods = Informer(client, "pods", field_selector=f"spec.nodeName={options.node}")
        nodes = Informer(client, "nodes", field_selector=f"metadata.name={options.node}")
        statuses = StatusWriter(client, self._known.get)
        handlers = await stack.enter_async_context(Handlers(runtime))
        objects = ApiObjects(client, services.store, _now)
        relister = self._relister = Relister(runtime, lambda uid: workers.wake(uid))
        environs = Environs(
            runtime=runtime,
            relister=relister,
            images=Images(runtime, _now),
            volumes=VolumeManager(options.root_dir, can_mount=self._shares_mounts()),
            handlers=handlers,
            objects=objects,
            tell=_teller(recorder),
            now=_now,
            set_status=statuses.set,
            known_status=statuses.status,
            finish=statuses.finish,
            admit=lambda pod: self._admit(pod, agent, workers, keeper),
            root=options.root_dir,
            runtime_name=version_.name,
            host_ips=tuple(addresses),
            allocatable=node_objects.allocatable(machine, settings),
            facts=NodeFacts(
                enforced=frozenset(machine.controllers & {"cpu", "memory"}),
                memory_capacity=machine.memory,
                cgroup_driver=configuration.cgroup_driver,
                cluster_domain=configuration.cluster_domain,
                seccomp_folder=str(options.root_dir / "seccomp"),
                log_folder=str(options.log_dir),
            ),
            cluster_dns=configuration.cluster_dns,
            host_dns=self._host_dns,
            maximum_delay=configuration.maximum_restart_delay,
        )
        workers = PodWorkers(environs)
        environs.probers = Probers(
            handlers, relister, now=_now, on_change=lambda uid: workers.wake(uid), tell=environs.tell
        )
        keeper = Housekeeping(
            environs,
            workers,
            configuration,
            room=lambda: machines.room(options.root_dir),
            on_pressure=lambda: agent.prompt(),
            prune=(objects.prune, lambda: environs.probers.prune()),
        )

        async def report() -> node_objects.Report:
            return await self._report(runtime, version_, tuple(addresses), relister, keeper)

        agent = NodeAgent(
            client,
            machine,
            settings,
            report,
            now=_now,
            update_period=configuration.status_update_period,
            report_period=configuration.status_report_period,
            lease_duration=configuration.lease_duration,
            register=configuration.register_node,
        )
        nodes.add_handler(lambda _old, new: agent.observe(new))
        context, serving_jobs = self._serving_context(client, addresses, agent.registered)
        access = Access(
            client,
            options.node,
            monotonic=time.monotonic,
            tokens=configuration.webhook_authentication,
            authorize=configuration.webhook_authorization,
            token_ttl=configuration.authentication_ttl,
            authorized_ttl=configuration.authorized_ttl,
            unauthorized_ttl=configuration.unauthorized_ttl,
        )
        routes = Routes(
            _Pods(self._known, statuses),
            relister,
            runtime,
            access,
            healthz=healthz,
            now=_now,
            configuration=lambda: _shown(configuration),
        )
        address, port = configuration.address, configuration.port
        await self._listen(stack, serving.Server(routes.application(), address, port, context), address, port)

        async def pods_arrive() -> None:
            """Pods are taken up once the runtime was looked at, so that nothing that runs is started twice."""
            await relister.listed()
            await services.synced()
            pods.add_handler(lambda old, new: self._pod_changed(old, new, workers, statuses))
            await pods.synced()
            keeper.pods_known.set()
            log.info("%d pods are bound to this node", len(pods.store))
            await asyncio.Event().wait()

        jobs: list[Awaitable[None]] = [
            relister.run(),
            recorder.run(),
            statuses.run(),
            services.run(),
            pods.run(),
            nodes.run(),
            agent.run(),
            agent.keep_lease(),
            keeper.run(),
            pods_arrive(),
            *serving_jobs,
        ]
        if configuration.rotate_certificates and options.bootstrap_kubeconfig:
            store = certificates.CertificateStore(options.cert_dir, "kubelet-client")
            wanted = certificates.client_certificate(options.node)

            async def reconnect() -> None:
                await client.reload(kubeconfigs.load(options.kubeconfig))

            jobs.append(certificates.keep(client, store, lambda: wanted, reconnect, _now))
        daemons.notify("STATUS=running")
        daemons.ready()
        try:
            await daemons.until_stopped(stop, *jobs)
        finally:
            await environs.probers.close()
            await workers.close()

    def _shares_mounts(self) -> bool:
        """Whether what is mounted here is seen by the runtime: only outside of a mount namespace of one's own."""
        shared = Path("/proc/self/ns/mnt").readlink() == Path("/proc/1/ns/mnt").readlink()
        if not shared:
            log.warning("this process has a mount namespace of its own: volumes that need mounts are refused")
        return shared

    def _host_dns(self) -> network_files.Dns:
        path = Path(self._configuration.resolv_conf) if self._configuration.resolv_conf else None
        if path is None or not path.is_file():
            return network_files.Dns()
        return network_files.parse_resolv_conf(path.read_text(encoding="utf-8"))

    def _pod_changed(self, old: Object | None, new: Object | None, workers: PodWorkers, statuses: StatusWriter) -> None:
        if new is None:
            if old is not None:
                self._known.pop(meta.uid(old), None)
                workers.remove(meta.uid(old))
                statuses.forget(meta.uid(old))
            return
        self._known[meta.uid(new)] = new
        workers.update(new)
        statuses.check(new)

    def _admit(
        self, pod: Object, agent: NodeAgent, workers: PodWorkers, keeper: Housekeeping
    ) -> tuple[str, str] | None:
        if agent.node is None:
            return None
        others = [worker.pod for worker in workers if not worker.is_ending and worker.uid != meta.uid(pod)]
        return admissions.refusal(pod, agent.node, others, pressures=keeper.pressures)

    async def _report(
        self,
        runtime: ports.Runtime,
        version_: ports.Version,
        addresses: tuple[str, ...],
        relister: Relister,
        keeper: Housekeeping,
    ) -> node_objects.Report:
        not_ready: list[str] = []
        images: list[ports.Image] = []
        try:
            health = await runtime.health()
            images = await runtime.images()
        except ports.CriError as error:
            health = ports.Health(runtime_ready=False, network_ready=False, runtime_message=str(error))
        if not health.runtime_ready:
            not_ready.append(f"container runtime is down: {health.runtime_message}")
        elif not health.network_ready:
            not_ready.append(f"container runtime network not ready: {health.network_message}")
        if (stale := relister.failure()) is not None:
            not_ready.append(f"PLEG is not healthy: {stale}")
        return node_objects.Report(
            now=_now(),
            addresses=addresses,
            runtime_version=f"{version_.name}://{version_.version}",
            kubelet_version=version(),
            port=self._configuration.port,
            not_ready=tuple(not_ready),
            memory_pressure="MemoryPressure" in keeper.pressures,
            disk_pressure="DiskPressure" in keeper.pressures,
            pid_pressure="PIDPressure" in keeper.pressures,
            images=[((*image.digests, *image.names), image.size) for image in images],
            handlers=health.handlers,
        )

    def _serving_context(
        self, client: Client, addresses: Sequence[str], registered: asyncio.Event
    ) -> tuple[Any, list[Awaitable[None]]]:
        """The TLS context of port 10250, and the job that keeps its certificate."""
        options, configuration = self._options, self._configuration
        ca = configuration.client_ca_file
        try:
            if configuration.tls_cert_file:
                pair = configuration.tls_cert_file, configuration.tls_key_file
                return tls.server_context(*pair, client_ca=ca), []
            if not configuration.server_tls_bootstrap:
                return tls.self_signed_context([options.node], list(addresses), now=_now(), client_ca=ca), []
            wanted = certificates.serving_certificate(options.node, [options.node], list(addresses))
            store = certificates.CertificateStore(options.cert_dir, wanted.prefix)
            if certificates.is_usable(store.load(), _now()):
                context = tls.server_context(str(store.current), str(store.current), client_ca=ca)
            else:
                # Until the cluster has signed ours nobody can verify us; the listener is up all the same.
                context = tls.self_signed_context([options.node], list(addresses), now=_now(), client_ca=ca)
        except OSError as error:
            raise daemons.FatalError(f"the serving certificate can't be used: {error}") from error

        def reload() -> None:
            context.load_cert_chain(str(store.current))

        async def keep() -> None:
            # A serving certificate is approved only for a node that the API knows, with the addresses that it has.
            await registered.wait()
            await certificates.keep(client, store, lambda: wanted, reload, _now)

        return context, [keep()]


def _teller(recorder: Recorder) -> Any:
    def tell(pod: Object, type_: Any, reason: str, message: str, container: str = "") -> None:
        field = f"spec.containers{{{container}}}" if container else ""
        for found in pod["spec"].get("initContainers") or []:
            if found["name"] == container:
                field = f"spec.initContainers{{{container}}}"
        recorder.event({"apiVersion": "v1", "kind": "Pod", **pod}, type_, reason, message, field=field)

    return tell


class _Pods:
    """The node's pods as its server shows them."""

    def __init__(self, known: dict[str, Object], statuses: StatusWriter) -> None:
        self._known = known
        self._statuses = statuses

    def find(self, namespace: str, name: str) -> Object | None:
        """The pod of this name."""
        return next((p for p in self._known.values() if meta.name(p) == name and meta.namespace(p) == namespace), None)

    def all(self) -> list[Object]:
        """All pods with their newest status."""
        return [
            {**pod, "status": self._statuses.status(uid) or pod.get("status") or {}} for uid, pod in self._known.items()
        ]


def _shown(configuration: KubeletConfiguration) -> Object:
    names = configuration.__dataclass_fields__
    return {name: getattr(configuration, name) for name in names}

"""One worker a pod: looks at the pod as it is, decides, acts, reports; until the pod and all of it are gone.

A worker holds no plan between two looks. What it remembers is restart delays and what last stood in a container's way;
both may be lost with the process without a container being restarted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base import metrics

from .containers import PodContainers, Provisions, StartError
from .decisions import container_configs, pod_actions, pod_statuses, restarts, terminations
from .decisions.container_statuses import Obstacle
from .decisions.environments import ConfigError
from .decisions.observations import RuntimePod
from .decisions.pod_actions import Actions
from .environs import Environs
from .runtimes import ports
from .volumes.projections import VolumeError

log = logging.getLogger(__name__)

# How often a pod is looked at when nothing happens: volumes follow their ConfigMaps and Secrets at this pace.
_PERIOD = 60.0
_RETRY_FIRST, _RETRY_LAST = 1.0, 30.0
# Upstream looks at a pod whose container can't be made every ten to fifteen seconds.
_START_RETRY = 10.0

_SYNC = metrics.histogram(
    "kubelet_pod_worker_duration_seconds",
    "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
    ("operation_type",),
    buckets=(0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class PodWorker:
    """The life of one pod on this node. `run` it in a task; it ends once nothing of the pod is left."""

    def __init__(self, environs: Environs, pod: Object) -> None:
        self._on = environs
        self.uid = meta.uid(pod)
        self.pod = pod
        self._hands = PodContainers(environs, self.uid)
        self._changed = asyncio.Event()
        self._changed.set()
        self._delays: dict[str, restarts.Delay] = {}
        self._obstacles: dict[str, Obstacle] = {}
        self._provisions: Provisions | None = None
        self._provided_for: tuple[str, ...] | None = None
        # Container name to the loop's time before which a start that failed is not tried again.
        self._not_before: dict[str, float] = {}
        self._failures = 0
        self._admitted = False
        # (reason, message) once the pod is made to fail: not admitted, evicted, past its deadline.
        self._failed: tuple[str, str] | None = None
        # Gone from the API: nobody is to be told any more, everything is to go.
        self._removed = False
        self._grace_override: float | None = None

    def update(self, pod: Object) -> None:
        """The API shows the pod anew; an echo of our own status is no reason to look at it again."""
        before, self.pod = self.pod, pod
        if _meaning(before) != _meaning(pod):
            self._not_before.clear()
            self._changed.set()

    def remove(self) -> None:
        """The API has the pod no more."""
        self._removed = True
        self._changed.set()

    def wake(self) -> None:
        """Look again: the runtime or a probe changed."""
        self._changed.set()

    def evict(self, reason: str, message: str, grace: float | None) -> None:
        """Make the pod fail and end it, with this grace period."""
        if self._failed is None:
            self._failed, self._grace_override = (reason, message), grace
            self._changed.set()

    @property
    def is_ending(self) -> bool:
        """Whether the pod is to run no more."""
        phase = (self._status().get("phase")) or ""
        return (
            self._removed or meta.is_deleting(self.pod) or self._failed is not None or phase in {"Failed", "Succeeded"}
        )

    async def run(self) -> None:
        """Look and act until nothing is left."""
        while True:
            self._changed.clear()
            again = _PERIOD
            loop = asyncio.get_running_loop()
            started = loop.time()
            try:
                if await self._step():
                    return
                again = self._next_look()
                self._failures = 0
            except (ports.CriError, ConfigError, VolumeError, errors.StatusError, OSError) as error:
                self._failures += 1
                again = min(_RETRY_FIRST * 2 ** (self._failures - 1), _RETRY_LAST)
                log.warning("pod %s: %s; again in %g s", meta.key(self.pod), error, again)
                self._report_failure(error)
            except Exception:
                # A bug of ours with one pod must not stop the others; it shows in the log, and the pod is retried.
                self._failures += 1
                again = min(_RETRY_FIRST * 2 ** (self._failures - 1), _RETRY_LAST)
                log.exception("pod %s: internal error", meta.key(self.pod))
            _SYNC.labels("sync").observe(loop.time() - started)
            try:
                async with asyncio.timeout(again):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _next_look(self) -> float:
        waits = [_PERIOD]
        for name, obstacle in self._obstacles.items():
            if obstacle.reason == "CrashLoopBackOff" and (delay := self._delays.get(name)):
                finished = self._on.relister.pod(self.uid).latest(name)
                if finished is not None and finished.finished_at is not None:
                    waits.append(
                        restarts.wait(
                            delay, finished=finished.finished_at, now=self._on.now(), maximum=self._on.maximum_delay
                        )
                    )
        now = asyncio.get_running_loop().time()
        waits += [moment - now for moment in self._not_before.values()]
        if (deadline := self._deadline()) is not None:
            waits.append(deadline)
        return max(0.05, min(waits))

    def _deadline(self) -> float | None:
        """Seconds left of activeDeadlineSeconds, None where there is none."""
        limit, began = self.pod["spec"].get("activeDeadlineSeconds"), self._status().get("startTime")
        if limit is None or not began:
            return None
        left = meta.parse_time(began) + timedelta(seconds=limit) - self._on.now()
        return max(0.0, left.total_seconds())

    def _status(self) -> Object:
        return self._on.known_status(self.uid) or self.pod.get("status") or {}

    def _with_status(self) -> Object:
        return {**self.pod, "status": self._status()}

    async def _step(self) -> bool:
        """One look; True once nothing of the pod is left."""
        on, pod = self._on, self.pod
        observed = on.relister.pod(self.uid)
        if self._deadline() == 0.0 and not self.is_ending:
            self.evict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline", None)
        if not self._admitted and not self.is_ending:
            if not observed.sandboxes and (refusal := on.admit(pod)) is not None:
                log.info("pod %s is not admitted: %s", meta.key(pod), refusal[1])
                on.tell(pod, "Warning", refusal[0], refusal[1])
                self._failed = refusal
            self._admitted = True
        if self.is_ending:
            return await self._end(observed)
        await self._sync(observed)
        return False

    async def _sync(self, observed: RuntimePod) -> None:
        on, pod = self._on, self.pod
        actions = self._decide(observed)
        for waiting in actions.waiting:
            name = waiting.container["name"]
            message = (
                f"back-off {self._delays[name].seconds:g}s restarting failed container={name} "
                f"pod={meta.name(pod)}_{meta.namespace(pod)}({self.uid})"
            )
            if name not in self._obstacles or self._obstacles[name].reason != "CrashLoopBackOff":
                on.tell(pod, "Warning", "BackOff", f"Back-off restarting failed container {name}", name)
            self._obstacles[name] = Obstacle("CrashLoopBackOff", message)
        self._report(observed)
        if actions.finished:
            await self._finish(observed)
            return
        if actions.kill_pod:
            on.tell(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            await self._hands.kill_all(pod, observed, terminations.grace_seconds(pod))
        for kill in actions.kill:
            grace = terminations.container_grace_seconds(pod, kill.container, kill.reason)
            why = f"{kill.message}, will be restarted"
            await self._hands.kill(pod, kill.container, kill.instance, grace, why)
        if actions.create_sandbox or self._provisions is None or actions.start or self._is_refresh_due():
            await self._provide(observed)
        if actions.create_sandbox:
            await self._hands.create_sandbox(pod, actions.attempt)
        if actions.create_sandbox or actions.kill or actions.kill_pod:
            observed = await on.relister.refresh(self.uid)
            if actions.create_sandbox:
                # The address is known only now, and the downward API may want it.
                await self._provide(observed)
                self._report(observed)
        self._watch_probes(observed)
        now = asyncio.get_running_loop().time()
        due = [start for start in actions.start if self._not_before.get(start.container["name"], 0.0) <= now]
        for start in due:
            await self._start(start, observed)
        if due:
            observed = await on.relister.refresh(self.uid)
            self._watch_probes(observed)
            self._report(observed)
        if await self._hands.prune(observed):
            await on.relister.refresh(self.uid)

    def _decide(self, observed: RuntimePod) -> Actions:
        return pod_actions.pod_actions(
            self.pod,
            observed,
            now=self._on.now(),
            probed=self._on.probers.verdicts(self._with_status()),
            delays=self._delays,
            maximum_delay=self._on.maximum_delay,
        )

    def _is_refresh_due(self) -> bool:
        """Whether volumes may have to follow their sources: on every quiet look."""
        return bool(self.pod["spec"].get("volumes"))

    async def _provide(self, observed: RuntimePod) -> None:
        ips = self._on.host_ips if self.pod["spec"].get("hostNetwork") else ()
        if (sandbox := observed.ready_sandbox) is not None and sandbox.ips:
            ips = sandbox.ips
        fresh = self._provisions is None
        try:
            self._provisions = await self._hands.provide(self.pod, fresh=fresh, pod_ips=ips)
        except VolumeError as error:
            self._on.tell(self.pod, "Warning", "FailedMount", str(error))
            raise

    async def _start(self, start: pod_actions.Start, observed: RuntimePod) -> None:
        assert self._provisions is not None
        on, name = self._on, start.container["name"]
        if start.after is not None and start.after.finished_at is not None:
            self._delays[name] = restarts.counted(
                self._delays.get(name), finished=start.after.finished_at, now=on.now(), maximum=on.maximum_delay
            )
        try:
            await self._hands.start(self.pod, start, observed, self._provisions)
        except StartError as error:
            self._obstacles[name] = error.obstacle
            wait = max(_START_RETRY, self._on.images.retry_after(self.uid) or 0.0)
            self._not_before[name] = asyncio.get_running_loop().time() + wait
        else:
            self._obstacles.pop(name, None)
            self._not_before.pop(name, None)

    def _watch_probes(self, observed: RuntimePod) -> None:
        if (sandbox := observed.ready_sandbox) is not None:
            address = next(iter(self._on.host_ips if sandbox.host_network else sandbox.ips), "")
            self._on.probers.watch(self.pod, address)

    def _report(self, observed: RuntimePod, *, over: bool = False) -> None:
        if self._removed:
            return
        on = self._on
        # A pod fails only once nothing of it runs: until then others must count on it.
        failed = over and self._failed is not None
        reason, message = (self._failed if failed and self._failed else None) or ("", "")
        status = pod_statuses.pod_status(
            self._with_status(),
            observed,
            pod_statuses.Circumstances(
                now=on.now(),
                host_ips=on.host_ips,
                runtime=on.runtime_name,
                probed=on.probers.verdicts(self._with_status()),
                obstacles=self._obstacles,
                messages=self._hands.termination_messages(observed),
                over=over,
                failed=failed,
                reason=reason,
                message=message,
            ),
        )
        on.set_status(self.pod, status)

    def _report_failure(self, error: Exception) -> None:
        if not self.is_ending:
            log.debug("pod %s: reporting after %r", meta.key(self.pod), error)
            self._report(self._on.relister.pod(self.uid))

    async def _finish(self, observed: RuntimePod) -> None:
        """Nothing of the pod will run again by itself: end what is left (sidecars), say so, free the volumes."""
        on, pod = self._on, self.pod
        on.probers.stop(self.uid)
        await self._hands.kill_all(pod, observed, terminations.grace_seconds(pod))
        observed = await on.relister.refresh(self.uid)
        self._report(observed, over=True)
        await asyncio.to_thread(self._free_volumes)

    def _free_volumes(self) -> None:
        """Volumes go when the pod has ended; its logs and termination messages stay until the pod goes."""
        self._provisions = None
        self._on.volumes.release(self.uid)

    async def _end(self, observed: RuntimePod) -> bool:
        on, pod = self._on, self.pod
        on.probers.stop(self.uid, kinds=("liveness", "startup"))
        if observed.running or any(sandbox.ready for sandbox in observed.sandboxes):
            if not self._removed:
                self._report(observed)
            await self._kill_patiently(observed)
            observed = await on.relister.refresh(self.uid)
            if observed.running:
                raise ports.CriError(f"{len(observed.running)} containers did not end")
        on.probers.stop(self.uid)
        self._report(observed, over=True)
        if not self._removed and not meta.is_deleting(pod):
            # Failed or completed: it stays to be looked at until somebody deletes it.
            await asyncio.to_thread(self._free_volumes)
            return False
        if not self._removed:
            await asyncio.to_thread(self._free_volumes)
            on.finish(pod)
            return False
        await self._hands.prune(observed, all_of_it=True)
        await on.relister.refresh(self.uid)
        await asyncio.to_thread(self._clear)
        on.images.forget(self.uid)
        on.objects.forget(self.uid)
        return True

    async def _kill_patiently(self, observed: RuntimePod) -> None:
        """End all, and hear on the way whether the grace period was shortened (`kubectl delete --grace-period=0`)."""
        grace = self._grace()
        killing = asyncio.create_task(self._hands.kill_all(self.pod, observed, grace))
        try:
            while not killing.done():
                self._changed.clear()
                waiting = asyncio.create_task(self._changed.wait())
                await asyncio.wait([killing, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if not killing.done() and self._grace() < grace:
                    grace = self._grace()
                    killing.cancel()
                    await asyncio.gather(killing, return_exceptions=True)
                    observed = await self._on.relister.refresh(self.uid)
                    killing = asyncio.create_task(self._hands.kill_all(self.pod, observed, grace))
            await killing
        finally:
            killing.cancel()

    def _grace(self) -> float:
        if self._removed and not meta.is_deleting(self.pod):
            # Deleted without a farewell, as `--force` does.
            return min(terminations.grace_seconds(self.pod), terminations.MINIMUM)
        return terminations.grace_seconds(self.pod, override=self._grace_override)

    def _clear(self) -> None:
        self._on.volumes.tear_down(self.uid)
        folder = Path(container_configs.log_directory(self.pod, self._on.facts))
        _remove_tree(folder)


def _meaning(pod: Object) -> tuple[Object, Object, list[Object]]:
    """What of the pod others decide: metadata, spec, and the conditions that are not the kubelet's."""
    metadata = {k: v for k, v in meta.metadata(pod).items() if k not in {"resourceVersion", "managedFields"}}
    theirs = [found for found in meta.conditions(pod) if found["type"] not in pod_statuses.OWN_CONDITIONS]
    return metadata, pod.get("spec") or {}, theirs


def _remove_tree(folder: Path) -> None:
    if not folder.is_dir():
        return
    for found in folder.iterdir():
        if found.is_dir() and not found.is_symlink():
            _remove_tree(found)
        else:
            found.unlink()
    folder.rmdir()


class PodWorkers:
    """The workers by their pods' UIDs."""

    def __init__(self, environs: Environs) -> None:
        self._on = environs
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __iter__(self) -> Any:
        return iter(list(self._workers.values()))

    def __contains__(self, uid: str) -> bool:
        return uid in self._workers

    def get(self, uid: str) -> PodWorker | None:
        """The worker of this pod."""
        return self._workers.get(uid)

    def pods(self) -> Mapping[str, Object]:
        """The pods that have a worker, by UID."""
        return {uid: worker.pod for uid, worker in self._workers.items()}

    def update(self, pod: Object) -> None:
        """The API (or a manifest) shows the pod, for the first time or anew."""
        uid = meta.uid(pod)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
            return
        worker = self._workers[uid] = PodWorker(self._on, pod)
        self._tasks[uid] = asyncio.create_task(self._run(worker), name=f"pod {meta.key(pod)}")

    async def _run(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            self._workers.pop(worker.uid, None)
            self._tasks.pop(worker.uid, None)

    def remove(self, uid: str) -> None:
        """The API has the pod no more."""
        if (worker := self._workers.get(uid)) is not None:
            worker.remove()

    def wake(self, uid: str) -> None:
        """Something about the pod changed."""
        if (worker := self._workers.get(uid)) is not None:
            worker.wake()

    async def close(self) -> None:
        """Stop looking after pods; what runs keeps running."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

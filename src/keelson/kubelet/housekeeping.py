"""What the node does beside its pods: removes what nobody knows, rotates logs, frees disk, evicts under pressure."""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from keelson.api import meta

from . import log_files
from .configurations import KubeletConfiguration
from .decisions import evictions, observations, terminations
from .decisions.observations import RuntimePod
from .environs import Environs
from .machines import Room
from .pod_workers import PodWorkers
from .runtimes import ports

log = logging.getLogger(__name__)

_PERIOD = 10.0
_CLEANING = 60.0
_IMAGES = 300.0
# An image is not removed before it is this old: what was just pulled is about to be used.
_IMAGE_AGE = timedelta(minutes=2)


class Housekeeping:
    """`pressures` are the conditions that the last look found; the node's status tells of them."""

    def __init__(
        self,
        environs: Environs,
        workers: PodWorkers,
        configuration: KubeletConfiguration,
        *,
        room: Callable[[], Room],
        on_pressure: Callable[[], None],
        prune: Sequence[Callable[[], None]],
    ) -> None:
        self._on = environs
        self._workers = workers
        self._configuration = configuration
        self._room = room
        self._on_pressure = on_pressure
        self._prune = prune
        self.pressures: frozenset[str] = frozenset()
        # Set once the API's pods are known: before that, everything would look like an orphan.
        self.pods_known = asyncio.Event()

    async def run(self) -> None:
        """Look after the node until cancelled."""
        loop = asyncio.get_running_loop()
        cleaned = images = -_CLEANING * 100
        while True:
            try:
                await self._check_pressure()
                await self._rotate_logs()
                if self.pods_known.is_set() and loop.time() - cleaned >= _CLEANING:
                    await self._remove_orphans()
                    cleaned = loop.time()
                if loop.time() - images >= _IMAGES:
                    await self._collect_images()
                    images = loop.time()
                for prune in self._prune:
                    prune()
            except (ports.CriError, OSError) as error:
                log.warning("housekeeping: %s", error)
            await asyncio.sleep(_PERIOD)

    async def _check_pressure(self) -> None:
        left = self._room()
        available = {
            "memory.available": (left.memory, left.memory),
            "nodefs.available": (left.disk, left.disk_total),
            "nodefs.inodesFree": (left.inodes, left.inodes_total),
            "imagefs.available": (left.disk, left.disk_total),
            "pid.available": (left.pids, left.pids_total),
        }
        found = evictions.shortages(available, self._configuration.eviction_hard)
        pressures = frozenset(shortage.condition for shortage in found)
        if pressures != self.pressures:
            log.warning("pressure: %s", ", ".join(sorted(pressures)) or "none any more")
            self.pressures = pressures
            self._on_pressure()
        if not found:
            return
        if any(shortage.condition == "DiskPressure" for shortage in found):
            await self._collect_images(everything=True)
        candidates = [worker.pod for worker in self._workers if not worker.is_ending]
        chosen = evictions.victim(candidates, found[0].resource, await self._usage())
        if chosen is not None and (worker := self._workers.get(meta.uid(chosen))) is not None:
            why = evictions.message(found[0])
            log.warning("evicting pod %s: %s", meta.key(chosen), why)
            self._on.tell(chosen, "Warning", "Evicted", why)
            worker.evict("Evicted", why, 0.0)

    async def _usage(self) -> Mapping[str, int]:
        result: dict[str, int] = {}
        for usage in await self._on.runtime.usages():
            if uid := usage.labels.get(observations.POD_UID):
                result[uid] = result.get(uid, 0) + (usage.working_set_bytes or 0)
        return result

    async def _remove_orphans(self) -> None:
        """Pods, folders and logs whose pod the API does not have."""
        runtime = self._on.runtime
        for uid, observed in self._on.relister.pods().items():
            if uid not in self._workers:
                log.info("removing what is left of pod %s", uid)
                await self._kill_orphan(observed)
                for sandbox in observed.sandboxes:
                    await runtime.remove_sandbox(sandbox.id)
                for container in observed.containers:
                    await runtime.remove_container(container.id)
                await self._on.relister.refresh(uid)
        known = {*self._workers.pods(), *self._on.relister.pods()}
        for uid in self._on.volumes.pods() - known:
            await asyncio.to_thread(self._on.volumes.tear_down, uid)
        logs = Path(self._on.facts.log_folder)
        await asyncio.to_thread(_remove_stray_logs, logs, known)

    async def _kill_orphan(self, observed: RuntimePod) -> None:
        runtime = self._on.runtime
        stops = [
            runtime.stop_container(found.id, terminations.orphan_grace_seconds(found)) for found in observed.running
        ]
        for outcome in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        for sandbox in observed.sandboxes:
            await runtime.stop_sandbox(sandbox.id)

    async def _rotate_logs(self) -> None:
        limit = self._configuration.container_log_max_size
        for observed in self._on.relister.pods().values():
            for container in observed.containers:
                if container.state != "running" or not container.log_path:
                    continue
                path = Path(container.log_path)
                size = _size(path)
                if size is None:
                    # Written to a file that is not there any more: have the runtime open a new one.
                    await self._on.runtime.reopen_log(container.id)
                elif size > limit:
                    await self._rotate(path, container.id)

    async def _rotate(self, path: Path, container_id: str) -> None:
        stamp = self._on.now().strftime("%Y%m%d-%H%M%S")
        # The one that is written now and the one about to be rotated count too.
        await asyncio.to_thread(_make_room, path, self._configuration.container_log_max_files - 2)
        target = await asyncio.to_thread(path.rename, path.with_name(f"{path.name}.{stamp}"))
        try:
            await self._on.runtime.reopen_log(container_id)
        except ports.CriError:
            # Put back, or what is written meanwhile would be lost to readers.
            await asyncio.to_thread(target.rename, path)
            raise

    async def _collect_images(self, *, everything: bool = False) -> None:
        """Remove unused images, the longest unused first, while the disk is above its threshold."""
        left = self._room()
        used = 100 * (1 - left.disk / left.disk_total) if left.disk_total else 0.0
        high = self._configuration.image_gc_high
        # A hundred switches it off (KubeletConfiguration).
        if not everything and (high == 100 or used < high):
            return
        goal = left.disk_total * (100 - self._configuration.image_gc_low) // 100 - left.disk
        in_use = {c.image_id for pod in self._on.relister.pods().values() for c in pod.containers}
        now: datetime = self._on.now()
        oldest = now - timedelta(days=365)
        for image in sorted(
            await self._on.runtime.images(), key=lambda each: self._on.images.last_used.get(each.id, oldest)
        ):
            if goal <= 0 and not everything:
                return
            used_at = self._on.images.last_used.get(image.id, oldest)
            if image.pinned or image.id in in_use or not in_use.isdisjoint(image.names) or now - used_at < _IMAGE_AGE:
                continue
            log.info("removing unused image %s", ", ".join(image.names) or image.id)
            await self._on.runtime.remove_image(image.id)
            goal -= image.size


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _make_room(path: Path, kept: int) -> None:
    """Remove all but the newest `kept` rotated files of a log, and compress those."""
    older = log_files.rotated(path)
    for surplus in older[: max(0, len(older) - kept)]:
        surplus.unlink()
    for found in log_files.rotated(path):
        if not found.name.endswith(".gz"):
            _compress(found)


def _compress(path: Path) -> None:
    target = path.with_name(path.name + ".gz")
    scratch = path.with_name(path.name + ".tmp")
    with path.open("rb") as source, gzip.open(scratch, "wb", compresslevel=5) as sink:
        shutil.copyfileobj(source, sink)
    scratch.rename(target)
    path.unlink()


def _remove_stray_logs(logs: Path, known: set[str]) -> None:
    """Folders of pods that nobody knows, and links that lead nowhere."""
    for folder in logs.iterdir() if logs.is_dir() else ():
        if folder.name.rpartition("_")[2] not in known:
            shutil.rmtree(folder)
    links = logs.parent / "containers"
    for link in links.iterdir() if links.is_dir() else ():
        if link.is_symlink() and not link.exists():
            link.unlink()

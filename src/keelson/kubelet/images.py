"""Images on the node: when to pull, what to say when that fails, and what to remove when the disk fills.

Rules: "Images" (pull policy, ImagePullBackOff, pull secrets), "Garbage collection of unused images".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from ._gen import cri_pb2 as cri
from .decisions import restarts
from .decisions.container_statuses import Obstacle
from .runtimes import ports

Tell = Callable[[str, str, str], None]


class ImageError(Exception):
    """The image is not to be had now; `obstacle` is what the container's status says."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.message)
        self.obstacle = obstacle


def pull_policy(container: Mapping[str, Any]) -> str:
    """Always, IfNotPresent or Never; the tag decides where the spec does not."""
    if stated := container.get("imagePullPolicy"):
        return str(stated)
    name = str(container.get("image", ""))
    tag = name.rpartition("/")[2].partition("@")
    return "IfNotPresent" if tag[1] or (":" in tag[0] and not tag[0].endswith(":latest")) else "Always"


def registry(name: str) -> str:
    """The registry's host of an image name."""
    first, slash, _ = name.partition("/")
    return first if slash and (any(c in first for c in ".:") or first == "localhost") else "docker.io"


def credentials(name: str, secrets: Sequence[Mapping[str, bytes]]) -> cri.AuthConfig | None:
    """The credentials for this image in pull secrets (.dockerconfigjson, .dockercfg), None where none fits."""
    wanted = registry(name)
    for secret in secrets:
        for key, nested in ((".dockerconfigjson", True), (".dockercfg", False)):
            try:
                document = json.loads(secret.get(key, b"{}"))
                entries = document.get("auths", {}) if nested else document
                for server, entry in entries.items():
                    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
                    if host in {wanted, "index." + wanted}:
                        return _auth(entry)
            except (ValueError, AttributeError, binascii.Error):
                # A secret that is no pull secret gives no credentials; the pull's own error then says what is missing.
                continue
    return None


def _auth(entry: Mapping[str, Any]) -> cri.AuthConfig:
    user, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return cri.AuthConfig(username=user, password=password, identity_token=entry.get("identitytoken", ""))


class Images:
    """Makes images present. Pulls go one at a time, so that they do not starve what runs."""

    def __init__(self, runtime: ports.Runtime, now: Callable[[], datetime]) -> None:
        self._runtime = runtime
        self._now = now
        self._pulling = asyncio.Lock()
        # (pod's UID, image): when the last pull failed, and the wait that follows.
        self._failures: dict[tuple[str, str], tuple[datetime, restarts.Delay, str]] = {}
        self.last_used: dict[str, datetime] = {}

    async def ensure(
        self,
        pod: Object,
        container: Object,
        sandbox_config: cri.PodSandboxConfig | None,
        secrets: Sequence[Mapping[str, bytes]],
        tell: Tell,
    ) -> ports.Image:
        """The image, pulled if the policy asks for it. Raises ImageError and CriError.

        `tell(type, reason, message)` records an event of the container.
        """
        name, policy = str(container["image"]), pull_policy(container)
        present = await self._runtime.image(name)
        if present is not None and policy != "Always":
            tell("Normal", "Pulled", f'Container image "{name}" already present on machine')
            self.last_used[present.id] = self._now()
            return present
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageError(Obstacle("ErrImageNeverPull", message))
        await self._pull(pod, name, sandbox_config, secrets, tell)
        found = await self._runtime.image(name)
        if found is None:
            raise ImageError(Obstacle("ImageInspectError", f'Failed to inspect image "{name}" after its pull'))
        self.last_used[found.id] = self._now()
        return found

    async def _pull(
        self,
        pod: Object,
        name: str,
        sandbox_config: cri.PodSandboxConfig | None,
        secrets: Sequence[Mapping[str, bytes]],
        tell: Tell,
    ) -> None:
        key = (meta.uid(pod), name)
        failed = self._failures.get(key)
        if failed is not None and restarts.wait(failed[1], finished=failed[0], now=self._now()) > 0:
            message = f'Back-off pulling image "{name}"'
            tell("Normal", "BackOff", message)
            raise ImageError(Obstacle("ImagePullBackOff", f"{message}: {failed[2]}"))
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        started = self._now()
        try:
            async with self._pulling:
                await self._runtime.pull_image(name, sandbox_config, credentials(name, secrets))
        except ports.CriError as error:
            now = self._now()
            delay = restarts.counted(failed[1] if failed else None, finished=now, now=now)
            self._failures[key] = (now, delay, f"ErrImagePull: {error}")
            tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            raise ImageError(Obstacle("ErrImagePull", str(error))) from error
        self._failures.pop(key, None)
        took = (self._now() - started).total_seconds()
        tell("Normal", "Pulled", f'Successfully pulled image "{name}" in {took:.3f}s')

    def retry_after(self, uid: str) -> float | None:
        """Seconds until the first of the pod's failed pulls may be tried again, None where none waits."""
        now = self._now()
        waits = [
            restarts.wait(delay, finished=moment, now=now)
            for (pod, _), (moment, delay, _) in self._failures.items()
            if pod == uid
        ]
        return min(waits, default=None)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._failures = {key: value for key, value in self._failures.items() if key[0] != uid}

"""All authorizers that the flags or a file describe, put together; a file is read again when it changes."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.daemons import FatalError
from keelson.kube_apiserver.bootstrap import policies
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.remote_reviews import Reviewer

from . import abac, configurations
from .attempts import Attempts
from .configurations import Entry
from .nodes import Nodes
from .rbac import Rbac
from .unions import AlwaysAllow, AlwaysDeny, Authorizer, Configured, Union
from .webhooks import Webhook

_GROUP = "rbac.authorization.k8s.io"
POLICY = (f"roles.{_GROUP}", f"clusterroles.{_GROUP}", f"rolebindings.{_GROUP}", f"clusterrolebindings.{_GROUP}")


# What the mode Node decides by, in the order in which it takes them.
_OF_NODES = (
    "pods",
    "persistentvolumes",
    "volumeattachments.storage.k8s.io",
    "resourceslices.resource.k8s.io",
)


class Assembly:
    """The authorizers of one server. `rbac` is None where that mode is not among them."""

    def __init__(self, options: argparse.Namespace, collection: Callable[[str], Collection]) -> None:
        """`collection` gives the cache of a resource. Raises FatalError."""
        self._path: str = options.authorization_config
        self._policies: str = options.authorization_policy_file
        flag = "--authorization-config" if self._path else "--authorization-mode"
        self.rbac: Rbac | None = None
        self._kept: dict[str, Authorizer] = {}
        self._collection = collection
        self._webhooks: list[Webhook] = []
        self._closing: set[asyncio.Task[None]] = set()
        self.attempts = Attempts()
        try:
            entries = configurations.load(self._path) if self._path else configurations.of_flags(options)
            self.modes = tuple(entry.mode for entry in entries)
            self.union = Union(self._made(entries), self.attempts)
        except ConfigurationError as error:
            raise FatalError(f"argument {flag}: {error}") from error

    def _made(self, entries: Sequence[Entry]) -> list[Configured]:
        webhooks: list[Webhook] = []
        found: list[Configured] = []
        for entry in entries:
            decisions = self.attempts.decisions(entry.mode, entry.name)
            if entry.settings is None:
                found.append(Configured(self._built_in(entry.mode), decisions))
                continue
            version = f"authorization.k8s.io/{entry.settings.version}"
            reviewer = Reviewer(entry.kubeconfig, version, "SubjectAccessReview", seconds=entry.seconds)
            webhooks.append(Webhook(reviewer, entry.settings))
            found.append(Configured(webhooks[-1], decisions))
        self._webhooks = webhooks
        return found

    def _built_in(self, mode: str) -> Authorizer:
        made = self._kept.get(mode)
        if made is None:
            match mode:
                case "RBAC":
                    made = self.rbac = Rbac(*(self._collection(name) for name in POLICY))
                case "Node":
                    pods, volumes, attachments, slices = map(self._collection, _OF_NODES)
                    made = Nodes(pods, volumes, attachments, slices, policies.node_rules())
                case "ABAC":
                    if not self._policies:
                        raise ConfigurationError("authorization-mode ABAC's authorization policy file not passed")
                    made = abac.load(self._policies)
                case "AlwaysDeny":
                    made = AlwaysDeny()
                case _:
                    made = AlwaysAllow()
            self._kept[mode] = made
        return made

    @property
    def warm(self) -> list[str]:
        """The resources without whose caches nothing can be decided."""
        return [
            *(POLICY if "RBAC" in self.modes else ()),
            *(_OF_NODES if "Node" in self.modes else ()),
        ]

    def reload(self) -> None:
        """Read --authorization-config again. Raises ConfigurationError; the old one then stays in force.

        Webhooks may come, go and change; the built-in modes stay what they were at the start, as upstream's do.
        """
        entries = configurations.load(self._path)
        built_in = {entry.mode for entry in entries if entry.settings is None}
        if built_in != set(self._kept):
            raise ConfigurationError(f"{self._path}: authorizers other than webhooks can't be added or removed")
        old = self._webhooks
        self.union.use(self._made(entries))
        for webhook in old:
            closing = asyncio.create_task(webhook.reviewer.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep connections to webhooks while the context is open."""
        try:
            yield
        finally:
            for webhook in self._webhooks:
                await webhook.reviewer.close()

"""Admission that objects configure: webhooks and policies, which stand at the end of the chain, before the quota alone.

While no configuration exists the chain leaves them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keelson.component_base.configurations import ConfigurationError, Fields
from keelson.kube_apiserver.authorization.unions import Authorizer
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.webhooks.clients import Clients
from keelson.kube_apiserver.webhooks.credentials import ANONYMOUS, Credentials

from .configurations import NONE, Configurations
from .expressions import Expressions
from .lookups import Lookups
from .policies.mutating import MutatingPolicies
from .policies.validating import ValidatingPolicies
from .webhooks.mutating import MutatingWebhooks
from .webhooks.validating import ValidatingWebhooks

_WEBHOOK_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1")


class Dynamic:
    """The plugins that are not disabled, and what they share."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        lookups: Lookups,
        authorizer: Authorizer,
        clients: Clients,
        *,
        disabled: Sequence[str] = (),
        configurations: Configurations = NONE,
    ) -> None:
        expressions = Expressions(authorizer)
        credentials = [_credentials(configurations, plugin.name) for plugin in (MutatingWebhooks, ValidatingWebhooks)]
        # In the order in which they run.
        made: list[Any] = [
            MutatingPolicies(catalogue, objects, lookups, expressions),
            MutatingWebhooks(catalogue, objects, lookups, expressions, clients, credentials[0]),
            ValidatingPolicies(catalogue, objects, lookups, expressions),
            ValidatingWebhooks(catalogue, objects, lookups, expressions, clients, credentials[1]),
        ]
        self.plugins = [plugin for plugin in made if plugin.name not in disabled]

    async def load(self, feed: Feed) -> None:
        """Have every configuration before the first request is let in, however long the store takes."""
        prefixes = [source.prefix for plugin in self.plugins for source in plugin.sources]
        await asyncio.gather(*map(feed.ready, prefixes))


def _credentials(configurations: Configurations, plugin: str) -> Credentials:
    """Who the API server is to a plugin's webhooks (WebhookAdmissionConfiguration). Raises ConfigurationError."""
    stated = configurations.of(plugin, kind="WebhookAdmissionConfiguration", api_versions=_WEBHOOK_VERSIONS)
    if stated is None:
        return ANONYMOUS
    fields = Fields(plugin, stated)
    path = fields.get("kubeConfigFile", str, "")
    fields.close()
    if path and not Path(path).is_absolute():
        raise ConfigurationError(f"{plugin}.kubeConfigFile: {path}: must be an absolute file path")
    return Credentials.load(path) if path else ANONYMOUS

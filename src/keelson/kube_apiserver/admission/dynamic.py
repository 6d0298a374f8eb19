"""Admission that objects configure: webhooks and policies, which stand at the end of the chain, before the quota alone.

While no configuration exists the chain leaves them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from keelson.kube_apiserver.authorization.unions import Authorizer
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.webhooks.clients import Clients

from .expressions import Expressions
from .lookups import Lookups
from .policies.mutating import MutatingPolicies
from .policies.validating import ValidatingPolicies
from .webhooks.mutating import MutatingWebhooks
from .webhooks.validating import ValidatingWebhooks


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
    ) -> None:
        expressions = Expressions(authorizer)
        # In the order in which they run.
        made: list[Any] = [
            MutatingPolicies(catalogue, objects, lookups, expressions),
            MutatingWebhooks(catalogue, objects, lookups, expressions, clients),
            ValidatingPolicies(catalogue, objects, lookups, expressions),
            ValidatingWebhooks(catalogue, objects, lookups, expressions, clients),
        ]
        self.plugins = [plugin for plugin in made if plugin.name not in disabled]

    async def load(self) -> None:
        """Have every configuration before the first request is let in."""
        await asyncio.gather(*(source.load() for plugin in self.plugins for source in plugin.sources))

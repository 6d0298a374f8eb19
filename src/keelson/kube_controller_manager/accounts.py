"""Each controller writes under a service account of its own, so that RBAC grants each just what it needs.

Upstream's --use-service-account-credentials: accounts in kube-system, bound by the roles system:controller:*. Tokens
come from the TokenRequest API and are renewed long before they expire.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from keelson.api import errors
from keelson.client.backoffs import Backoff
from keelson.client.kubeconfigs import ClientConfig
from keelson.client.rest import Client

log = logging.getLogger(__name__)

_NAMESPACE = "kube-system"
_VALID_FOR = 3600
_RENEW_AFTER = 2400.0


class AccountClients:
    """Clients by account, made by the daemon's own client. Use as an async context manager and `run` beside it."""

    def __init__(self, root: Client, config: ClientConfig, *, agent: str) -> None:
        self._root = root
        # The address and trust of the server, and none of the daemon's own credentials.
        self._config = ClientConfig(
            server=config.server,
            ca_data=config.ca_data,
            tls_server_name=config.tls_server_name,
            insecure=config.insecure,
        )
        self._agent = agent
        self._clients: dict[str, Client] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AccountClients:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stack.aclose()

    async def client(self, account: str) -> Client:
        """The client that writes as this account; the account is created where it is missing."""
        if account not in self._clients:
            fresh = Client(self._config, user_agent=f"{self._agent}/{account}")
            fresh.fence = self._root.fence
            fresh.token = await self._first_token(account)
            self._clients[account] = await self._stack.enter_async_context(fresh)
        return self._clients[account]

    async def _first_token(self, account: str) -> str:
        backoff = Backoff(initial=0.2, maximum=5.0)
        while True:
            try:
                return await self._token(account)
            except errors.StatusError as error:
                if error.code == 404:
                    await self._create(account)
                    continue
                log.warning("token of %s/%s: %s", _NAMESPACE, account, error.message)
            await asyncio.sleep(backoff.next())

    async def _create(self, account: str) -> None:
        obj = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": _NAMESPACE},
        }
        try:
            await self._root.create("serviceaccounts", obj)
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _token(self, account: str) -> str:
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _VALID_FOR},
        }
        answer = await self._root.create(
            "serviceaccounts", request, namespace=_NAMESPACE, name=account, subresource="token"
        )
        return str(answer["status"]["token"])

    async def run(self) -> None:
        """Renew all tokens until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_AFTER)
            for account, client in self._clients.items():
                client.token = await self._first_token(account)

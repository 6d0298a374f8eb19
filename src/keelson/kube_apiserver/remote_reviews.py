"""Asking another server by a review: who a token is (TokenReview), what somebody may do (SubjectAccessReview).

The server is named by a kubeconfig; its URL is posted to as it is ("Webhook Token Authentication", "Webhook Mode").
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import orjson

from keelson.api import errors
from keelson.api.errors import StatusError
from keelson.api.meta import Object
from keelson.client import kubeconfigs
from keelson.component_base.configurations import ConfigurationError

from .tracing import spans

if TYPE_CHECKING:
    from keelson.client.rest import Client

# Upstream's DefaultAuthWebhookRetryBackoff.
_ATTEMPTS, _FIRST_PAUSE, _FACTOR = 5, 0.5, 1.5

# Answers after which upstream asks again, whatever they say (webhook.DefaultShouldRetry).
_PASSING = frozenset({429, 500, 504})


def _may_pass(error: StatusError) -> bool:
    """Whether to ask again soon. A server that is not there, or silent, must not cost every request all attempts."""
    from aiohttp import ServerDisconnectedError

    cause = error.__cause__
    if cause is None:
        return error.code in _PASSING or "retryAfterSeconds" in error.details
    return isinstance(cause, ServerDisconnectedError) or getattr(cause, "errno", None) == errno.ECONNRESET


class Reviewer:
    """One such server; `close` it when it is asked no more."""

    def __init__(self, path: str, api_version: str, kind: str, *, seconds: float, attempts: int = _ATTEMPTS) -> None:
        """`path` is that of the kubeconfig; one attempt takes at most so many `seconds`. Raises ConfigurationError."""
        try:
            self._config = kubeconfigs.load(path)
            # What can't be used is to be known before the first request needs it.
            self._config.context()
        except (kubeconfigs.KubeconfigError, OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: {error}") from error
        self._api_version = api_version
        self._kind = kind
        self._seconds = seconds
        self._attempts = attempts
        self._client: Client | None = None

    async def _connected(self) -> Client:
        if self._client is None:
            # The client takes memory that few servers need.
            from keelson.client.rest import Client

            client = Client(self._config, user_agent="kube-apiserver", timeout=self._seconds)
            await client.__aenter__()
            self._client = client
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__()

    async def ask(self, spec: Object) -> Object:
        """The review's status. Raises StatusError where no usable answer came."""
        client = await self._connected()
        review = {"kind": self._kind, "apiVersion": self._api_version, "metadata": {}, "spec": spec}
        body, pause = orjson.dumps(review), _FIRST_PAUSE
        for attempt in range(1, self._attempts + 1):
            try:
                with spans.child("HTTP POST", {"http.request.method": "POST"}, spans.CLIENT):
                    headers = {"Content-Type": "application/json", "Accept": "application/json", **spans.headers()}
                    answer = await client.request("POST", "", body=body, headers=headers)
                break
            except StatusError as error:
                if attempt == self._attempts or not _may_pass(error):
                    raise
                await asyncio.sleep(pause)
                pause *= _FACTOR
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise errors.internal("the webhook's answer is no JSON") from error
        if not isinstance(found, dict) or not isinstance(found.get("status"), dict):
            raise errors.internal(f"the webhook's answer is no {self._kind} with a status")
        status: Object = found["status"]
        return status

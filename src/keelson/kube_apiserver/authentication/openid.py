"""What others verify service-account tokens by: the provider's configuration and its key set (OIDC Discovery 1.0)."""

from __future__ import annotations

import orjson

from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .tokens import Tokens

CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"
_HEADERS = (("Cache-Control", "public, max-age=3600"),)


class Documents:
    """The two documents; `key_set_uri` is where others find the second."""

    def __init__(self, tokens: Tokens, key_set_uri: str) -> None:
        self._tokens = tokens
        self._key_set_uri = key_set_uri

    async def keys(self, _request: Request, _info: RequestInfo, _user: User) -> Response:
        """The key set."""
        return Response(200, orjson.dumps(self._tokens.key_set()), "application/jwk-set+json", _HEADERS)

    async def configuration(self, _request: Request, _info: RequestInfo, _user: User) -> Response:
        """The configuration."""
        return Response(200, orjson.dumps(self._tokens.configuration(self._key_set_uri)), headers=_HEADERS)

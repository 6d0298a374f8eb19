"""All authenticators that the flags describe, in upstream's order, put together."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.daemons import FatalError
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.remote_reviews import Reviewer

from . import configurations
from .bootstrap_tokens import BootstrapTokens
from .certificates import Authorities, Certificates
from .configurations import Anonymous, Configuration
from .credentials import Find
from .front_proxies import FrontProxies, Headers
from .issuers import Issuers
from .legacy_tokens import LegacyTokens, Mark
from .token_webhooks import TokenWebhook
from .tokens import Lookup, Tokens, load_public_keys
from .unions import Authenticator, TokenReader, Union

# How long another server has for one answer.
_REVIEW_SECONDS = 10.0


class Assembly:
    """The authenticators of one server. `tokens` is None where it has no service-account tokens."""

    def __init__(self, options: argparse.Namespace, lookup: Lookup, find: Find, mark_used: Mark) -> None:
        """`lookup` and `find` give the objects that credentials depend on; `mark_used` notes that one was used.

        Raises FatalError.
        """
        self._options = options
        self.audiences = tuple(options.api_audiences or options.service_account_issuer)
        self.tokens: Tokens | None = None
        self._legacy_tokens: LegacyTokens | None = None
        self._bootstrap_tokens: BootstrapTokens | None = None
        self._token_webhook: TokenWebhook | None = None
        if options.service_account_issuer:
            keys = [key for path in options.service_account_key_file for key in load_public_keys(path)]
            verified = lookup if options.service_account_lookup else None
            self.tokens = Tokens(options.service_account_issuer, keys, self.audiences, verified, find=find)
            self._legacy_tokens = LegacyTokens(keys, verified, mark_used)
        if options.enable_bootstrap_token_auth:
            self._bootstrap_tokens = BootstrapTokens(lookup)
        configuration = self._configuration()
        self._anonymous = configuration.anonymous or Anonymous(options.anonymous_auth)
        self._issuers: Issuers | None = None
        if configuration.issuers or options.authentication_config:
            self._issuers = Issuers(configuration)
        if options.authentication_token_webhook_config_file:
            self._token_webhook = self._webhook()
        self._certificates: Certificates | None = None
        self.union = Union(self._authenticators(), self._anonymous.allows)

    def _authenticators(self) -> list[Authenticator]:
        options = self._options
        found: list[Authenticator | None] = []
        if options.requestheader_client_ca_file:
            headers = Headers(
                options.requestheader_username_headers,
                options.requestheader_group_headers,
                options.requestheader_uid_headers,
                options.requestheader_extra_headers_prefix,
            )
            authorities = Authorities(options.requestheader_client_ca_file)
            found.append(FrontProxies(authorities, options.requestheader_allowed_names, headers))
        if options.client_ca_file:
            self._certificates = Certificates(Authorities(options.client_ca_file))
            found.append(self._certificates)
        found += [self.tokens, self._legacy_tokens, self._bootstrap_tokens, self._issuers, self._token_webhook]
        return [each for each in found if each is not None]

    def _configuration(self) -> Configuration:
        options = self._options
        flag = "--authentication-config" if options.authentication_config else "--oidc-issuer-url"
        try:
            if options.authentication_config:
                return configurations.load(options.authentication_config, options.service_account_issuer)
            return configurations.of_flags(options)
        except ConfigurationError as error:
            raise FatalError(f"argument {flag}: {error}") from error

    def _webhook(self) -> TokenWebhook:
        options = self._options
        version = f"authentication.k8s.io/{options.authentication_token_webhook_version}"
        try:
            reviewer = Reviewer(
                options.authentication_token_webhook_config_file, version, "TokenReview", seconds=_REVIEW_SECONDS
            )
        except ConfigurationError as error:
            raise FatalError(f"argument --authentication-token-webhook-config-file: {error}") from error
        seconds = options.authentication_token_webhook_cache_ttl
        return TokenWebhook(reviewer, seconds=seconds, audiences=self.audiences)

    def forget(self) -> None:
        """Judge every certificate anew: the authorities have changed."""
        if self._certificates is not None:
            self._certificates.forget()

    def reload(self) -> None:
        """Read --authentication-config again. Raises ConfigurationError; the old one then stays in force.

        What it says of anonymous requests holds from the start to the end, as upstream's does.
        """
        if self._issuers is not None:
            path = self._options.authentication_config
            self._issuers.exchange(configurations.load(path, self._options.service_account_issuer))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Fetch keys and keep connections to webhooks while the context is open."""
        if self._issuers is not None:
            self._issuers.start()
        try:
            yield
        finally:
            if self._issuers is not None:
                self._issuers.stop()
            if self._token_webhook is not None:
                await self._token_webhook.reviewer.close()

    # --- for TokenReview

    @property
    def readers(self) -> list[TokenReader]:
        """Who can say whose token one is."""
        readers: list[TokenReader] = [self._read_own]
        if self._legacy_tokens is not None:
            readers.append(self._read_legacy)
        if self._bootstrap_tokens is not None:
            readers.append(self._read_bootstrap)
        if self._issuers is not None:
            readers.append(self._read_issued)
        if self._token_webhook is not None:
            readers.append(self._token_webhook.read)
        return readers

    async def _read_own(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        if self.tokens is None:
            return None
        user, common = await self.tokens.read(token, audiences)
        return None if user is None else (user, common)

    async def _read_legacy(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        assert self._legacy_tokens is not None
        return self._for_this_server(await self._legacy_tokens.read(token), audiences)

    async def _read_bootstrap(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        assert self._bootstrap_tokens is not None
        return self._for_this_server(await self._bootstrap_tokens.read(token), audiences)

    async def _read_issued(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        assert self._issuers is not None
        return self._for_this_server(await self._issuers.read(token), audiences)

    def _for_this_server(self, user: User | None, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        """What a credential that knows no audiences is good for: this server's own."""
        common = [each for each in audiences if each in self.audiences]
        return None if user is None or (audiences and not common) else (user, common)

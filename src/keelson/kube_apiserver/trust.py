"""Whom the server trusts and what it shows for itself: certificates and CAs by the flags, followed while they change.

New handshakes get what the files have; connections live on, and each of their requests is judged by the CAs of now.
"""

from __future__ import annotations

import argparse
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson

from keelson.component_base import certificates

from .reloads import Reloads


class Trust:
    """The TLS context of one server."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.context = self._made()
        self._load_authorities()

    def _made(self) -> ssl.SSLContext:
        options = self._options
        if options.tls_cert_file:
            return certificates.server_context(options.tls_cert_file, options.tls_private_key_file)
        addresses = [a for a in (options.bind_address, options.advertise_address) if a and a != "0.0.0.0"]  # noqa: S104
        return certificates.self_signed_context(
            ["localhost", "kubernetes.default.svc"], [*addresses, "127.0.0.1"], now=datetime.now(UTC)
        )

    def _load_authorities(self) -> None:
        # CAs are only ever added here. One that left its file is refused by the authenticators, which read the file.
        for path in (self._options.client_ca_file, self._options.requestheader_client_ca_file):
            if path:
                self.context.load_verify_locations(path)
                self.context.verify_mode = ssl.CERT_OPTIONAL

    def follow(self, reloads: Reloads, changed: Callable[[], Awaitable[None]]) -> None:
        """Have the files looked at; `changed` is called after a CA's file changed."""
        options = self._options
        if options.tls_cert_file:
            pair = options.tls_cert_file, options.tls_private_key_file

            def renew() -> None:
                # Tried apart first: a certificate whose key does not fit (yet) would take the context's old key away,
                # and no handshake would succeed until the key is there.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair)
                self.context.load_cert_chain(*pair)

            reloads.add("serving certificates", pair, renew)

        async def reload() -> None:
            self._load_authorities()
            await changed()

        paths = [path for path in (options.client_ca_file, options.requestheader_client_ca_file) if path]
        if paths:
            reloads.add("client authorities", paths, reload)

    def published(self) -> dict[str, str]:
        """What extension servers have to know to trust this one's front proxy and clients."""
        options = self._options
        data: dict[str, str] = {}
        if options.client_ca_file:
            data["client-ca-file"] = Path(options.client_ca_file).read_text(encoding="ascii")
        if options.requestheader_client_ca_file:
            authority = Path(options.requestheader_client_ca_file).read_text(encoding="ascii")
            data["requestheader-client-ca-file"] = authority
            for key, values in (
                ("requestheader-allowed-names", options.requestheader_allowed_names),
                ("requestheader-username-headers", options.requestheader_username_headers),
                ("requestheader-group-headers", options.requestheader_group_headers),
                ("requestheader-extra-headers-prefix", options.requestheader_extra_headers_prefix),
                ("requestheader-uid-headers", options.requestheader_uid_headers),
            ):
                # The youngest of them is left out where it is empty: older readers don't know it.
                if values or key != "requestheader-uid-headers":
                    data[key] = orjson.dumps(values).decode()
        return data

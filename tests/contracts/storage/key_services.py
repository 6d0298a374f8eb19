"""A key management service on a unix socket, for the suites that need one: a real gRPC server in a thread."""

from __future__ import annotations

import os
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keelson.storage._gen import kms_pb2 as messages


class KeyService:
    """KMS v2 with keys that can be rotated. `calls` counts what it was asked for; `healthz` is what it says of itself.

    It starts and ends with the context, any number of times, and knows its keys again.
    """

    def __init__(self, socket: Path) -> None:
        self.endpoint = f"unix://{socket}"
        self.healthz = "ok"
        self.version = "v2"
        self.calls: dict[str, int] = {"Status": 0, "Encrypt": 0, "Decrypt": 0}
        self._keys: dict[str, bytes] = {}
        self._server: grpc.Server | None = None
        self.key_id = ""
        self.rotate()

    def rotate(self) -> None:
        """Encrypt with another key from now on; what the old ones encrypted can still be decrypted."""
        self.key_id = f"key-{len(self._keys) + 1}"
        self._keys[self.key_id] = AESGCM.generate_key(256)

    def _status(self, _request: Any, _context: Any) -> Any:
        self.calls["Status"] += 1
        return messages.StatusResponse(version=self.version, healthz=self.healthz, key_id=self.key_id)

    def _encrypt(self, request: Any, _context: Any) -> Any:
        self.calls["Encrypt"] += 1
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(self._keys[self.key_id]).encrypt(nonce, request.plaintext, None)
        annotations = {"version.encryption.example.com": b"1"}
        return messages.EncryptResponse(ciphertext=sealed, key_id=self.key_id, annotations=annotations)

    def _decrypt(self, request: Any, context: Any) -> Any:
        self.calls["Decrypt"] += 1
        key = self._keys.get(request.key_id)
        try:
            if key is None or request.annotations.get("version.encryption.example.com") != b"1":
                raise InvalidTag
            plain = AESGCM(key).decrypt(request.ciphertext[:12], request.ciphertext[12:], None)
        except InvalidTag:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no key of this service fits")
        return messages.DecryptResponse(plaintext=plain)

    def __enter__(self) -> Self:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method, request_deserializer=request.FromString, response_serializer=answer.SerializeToString
            )
            for name, method, request, answer in (
                ("Status", self._status, messages.StatusRequest, messages.StatusResponse),
                ("Encrypt", self._encrypt, messages.EncryptRequest, messages.EncryptResponse),
                ("Decrypt", self._decrypt, messages.DecryptRequest, messages.DecryptResponse),
            )
        }
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        service = grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers)
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(self.endpoint)
        self._server.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop(0).wait(10)
            self._server = None

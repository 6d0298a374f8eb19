"""Encryption at rest with a key that another program keeps: KMS v2 (KEP-3299), over gRPC on a unix socket.

The other program never sees values. It wraps a seed that this one makes; each value is encrypted by a key of its own,
derived from the seed (HKDF-SHA-256) and used once (AES-GCM, bound to the value's place in the store), and the wrapped
seed lies beside it. So the other program is asked once a seed and not once a value: when a seed is made (at the start,
and when the other program says that its key has changed) and when a value comes by that somebody else's seed opens.

Values are decoded in the midst of other work, so an unknown seed is asked for while everything waits. That is one call
a seed and bounded in time; while the other program does not answer, nobody waits for it at all.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keelson.component_base import metrics

from ._gen import kms_pb2 as messages
from .errors import KeyServiceError, TransformError

if TYPE_CHECKING:
    import grpc

log = logging.getLogger(__name__)

PREFIX = b"k8s:enc:kms:v2:"
_VERSIONS = ("v2", "v2beta1")
_KEY, _SEED = 0, 1
# What tells that the other program is not there, or does not answer in time.
_ABSENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_INFO_BYTES, _SEED_BYTES, _NONCE_BYTES = 32, 32, 12
_MOST_TEXT, _MOST_ANNOTATIONS = 1024, 32 * 1024
# Upstream's: how often the status is asked for, how long a seed may be written with since that was good, how long one
# that was opened is remembered (here: how many), and how long one that could not be opened is not asked for again.
POLL_SECONDS, POLL_SECONDS_FAILING = 60.0, 10.0
_WRITE_SECONDS = 180.0
_REMEMBERED = 1000
_REFUSED_SECONDS = 3.0

# A unix socket refuses at once, so asking again soon costs nothing; gRPC's own pauses grow to two minutes.
_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

_LATENCY = metrics.histogram(
    "apiserver_envelope_encryption_kms_operations_latency_seconds",
    "KMS operation duration with gRPC error code status total.",
    ("provider_name", "method_name", "grpc_status_code"),
    buckets=(0.0001, 0.001, 0.01, 0.1, 1, 2, 4, 8, 15, 30, 60),
)
_MISSES = metrics.counter(
    "apiserver_storage_envelope_transformation_cache_misses_total",
    "Total number of cache misses while accessing key decryption key(KEK).",
)
_BAD_KEYS = metrics.counter(
    "apiserver_envelope_encryption_invalid_key_id_from_status_total",
    "Number of times an invalid keyID is returned by the Status RPC call split by error.",
    ("provider_name", "error"),
)


class _Writing:
    """The seed that is written with: wrapped, as it is stored, and until when."""

    def __init__(self, seed: bytes, wrapped: messages.EncryptResponse, until: float) -> None:
        self.seed = seed
        self.wrapped = wrapped
        self.until = until


class Kms:
    """One such program, as a provider of an EncryptionConfiguration."""

    def __init__(self, name: str, endpoint: str, *, seconds: float = 3.0) -> None:
        """`endpoint` is a URL such as unix:///run/kms.sock; a call takes at most so many `seconds`."""
        self.name = name
        self.prefix = PREFIX + name.encode() + b":"
        self._endpoint = endpoint
        self._seconds = seconds
        self._channel: grpc.Channel | None = None
        self._writing: _Writing | None = None
        self._opened: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._refused: dict[tuple[Any, ...], float] = {}
        # Why it can't be used now, None where it can.
        self.trouble: str | None = "its status is not known yet"

    # --- the other program

    def _call(self, method: str, request: Any, answer: type[Any]) -> Any:
        """One call; it blocks. Raises TransformError."""
        # gRPC takes memory that few servers need.
        import grpc

        if self._channel is None:
            self._channel = grpc.insecure_channel(self._endpoint, options=_CHANNEL)
        call = self._channel.unary_unary(
            f"/v2.KeyManagementService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        began, code = time.perf_counter(), "OK"
        try:
            # The status may wait for a service that is just coming back; values wait for none that is not there.
            return call(request, timeout=self._seconds, wait_for_ready=method == "Status")
        except grpc.RpcError as error:
            code = error.code().name
            message = f"kms provider {self.name}: {method}: {code}: {error.details()}"
            if code in _ABSENT:
                # Nobody is to wait for it again before its next status.
                self.trouble = message
                raise KeyServiceError(message) from error
            raise TransformError(message) from error
        finally:
            _LATENCY.labels(self.name, method, code).observe(time.perf_counter() - began)

    def poll(self) -> None:
        """Ask for the status, and make another seed where the key has changed; it blocks. `trouble` tells the rest."""
        try:
            status = self._call("Status", messages.StatusRequest(), messages.StatusResponse)
            if status.healthz != "ok":
                raise TransformError(f"kms provider {self.name} is not healthy: {status.healthz}")
            if status.version not in _VERSIONS:
                raise TransformError(f"kms provider {self.name} speaks version {status.version!r} and not v2")
            self._check_key(status.key_id, "Status")
            writing = self._writing
            if writing is not None and writing.wrapped.key_id == status.key_id:
                writing.until = time.monotonic() + _WRITE_SECONDS
            else:
                self._writing = self._made_seed()
                log.info("kms provider %s: values are written with another seed", self.name)
        except TransformError as error:
            log.error("%s", error)
            self.trouble = str(error)
        else:
            self.trouble = None

    def _check_key(self, key_id: str, method: str) -> None:
        wrong = "empty" if not key_id else "too_long" if len(key_id) > _MOST_TEXT else ""
        if wrong:
            if method == "Status":
                _BAD_KEYS.labels(self.name, wrong).inc()
            raise TransformError(f"kms provider {self.name}: {method} gave a keyID that is {wrong}")

    def _made_seed(self) -> _Writing:
        seed = os.urandom(_SEED_BYTES)
        request = messages.EncryptRequest(plaintext=seed, uid=str(uuid.uuid4()))
        wrapped = self._call("Encrypt", request, messages.EncryptResponse)
        self._check_key(wrapped.key_id, "Encrypt")
        if not 0 < len(wrapped.ciphertext) <= _MOST_TEXT:
            size = len(wrapped.ciphertext)
            raise TransformError(f"kms provider {self.name}: Encrypt gave a ciphertext of {size} bytes")
        if sum(len(key) + len(value) for key, value in wrapped.annotations.items()) > _MOST_ANNOTATIONS:
            raise TransformError(f"kms provider {self.name}: Encrypt gave more than 32 kB of annotations")
        self._remember(_identity(_SEED, wrapped.ciphertext, wrapped.key_id, wrapped.annotations), seed)
        return _Writing(seed, wrapped, time.monotonic() + _WRITE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()

    # --- values

    def encode(self, key: str, plain: bytes) -> bytes:
        """The value encrypted for its place. Raises TransformError where no seed may be written with."""
        writing = self._writing
        if writing is None or time.monotonic() > writing.until:
            raise TransformError(f"kms provider {self.name} can't encrypt: {self.trouble or 'its seed has expired'}")
        info = os.urandom(_INFO_BYTES)
        sealed = info + _sealed(_derived(writing.seed, info), plain, key.encode())
        wrapped = writing.wrapped
        stored = messages.EncryptedObject(
            encrypted_data=sealed,
            key_id=wrapped.key_id,
            encrypted_dek_source=wrapped.ciphertext,
            annotations=dict(wrapped.annotations),
            encrypted_dek_source_type=_SEED,
        )
        return self.prefix + stored.SerializeToString()

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        """(the plain value, whether it is encrypted with a key that is not written with any more)."""
        from google.protobuf.message import DecodeError

        found = messages.EncryptedObject()
        try:
            found.ParseFromString(stored[len(self.prefix) :])
        except DecodeError as error:
            raise TransformError(f"{key} can't be decrypted: it is no encrypted object") from error
        kind, data = found.encrypted_dek_source_type, found.encrypted_data
        if kind not in (_KEY, _SEED) or not found.encrypted_dek_source or not found.key_id:
            raise TransformError(f"{key} can't be decrypted: it is no encrypted object of KMS v2")
        source = self._source(found)
        if kind == _SEED:
            source, data = _derived(source, data[:_INFO_BYTES]), data[_INFO_BYTES:]
        try:
            plain = _opened(source, data, key.encode())
        except ValueError as error:
            raise TransformError(f"{key} can't be decrypted: {error}") from error
        writing = self._writing
        stale = writing is not None and (kind != _SEED or found.key_id != writing.wrapped.key_id)
        return plain, stale

    def _source(self, found: messages.EncryptedObject) -> bytes:
        """The key or seed of a value, unwrapped."""
        annotations = found.annotations
        identity = _identity(found.encrypted_dek_source_type, found.encrypted_dek_source, found.key_id, annotations)
        known = self._opened.get(identity)
        if known is not None:
            return known
        if self.trouble is not None:
            raise KeyServiceError(f"kms provider {self.name}: {self.trouble}")
        if self._refused.get(identity, 0.0) > time.monotonic():
            raise TransformError(f"kms provider {self.name} could not unwrap this seed a moment ago")
        _MISSES.inc()
        request = messages.DecryptRequest(
            ciphertext=found.encrypted_dek_source,
            uid=str(uuid.uuid4()),
            key_id=found.key_id,
            annotations=dict(annotations),
        )
        try:
            source: bytes = self._call("Decrypt", request, messages.DecryptResponse).plaintext
        except KeyServiceError:
            raise
        except TransformError:
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused[identity] = time.monotonic() + _REFUSED_SECONDS
            raise
        self._remember(identity, source)
        return source

    def _remember(self, identity: tuple[Any, ...], source: bytes) -> None:
        self._opened[identity] = source
        if len(self._opened) > _REMEMBERED:
            self._opened.popitem(last=False)


def _identity(kind: int, wrapped: bytes, key_id: str, annotations: Mapping[str, bytes]) -> tuple[Any, ...]:
    return kind, wrapped, key_id, tuple(sorted(annotations.items()))


def _derived(seed: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    return HKDFExpand(SHA256(), 32, info).derive(seed)


def _sealed(key: bytes, plain: bytes, context: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def _opened(key: bytes, sealed: bytes, context: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except InvalidTag as error:
        raise ValueError("the value was changed, or moved to another place") from error

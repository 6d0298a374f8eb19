"""--tracing-config-file: TracingConfiguration (apiserver.config.k8s.io, "API Server Tracing")."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from keelson.component_base import configurations
from keelson.component_base.configurations import ConfigurationError, Fields

_API_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_ENDPOINT = "localhost:4317"
_MILLION = 1_000_000
_SCHEMES = ("dns", "unix", "unix-abstract")
# What gRPC takes for a name without one.
_DEFAULT_PORT = 443


class Configuration(NamedTuple):
    """`url` is the collector's, for a gRPC channel in the clear; `rate` of requests without a parent are sampled."""

    url: str
    rate: float


def load(path: str) -> Configuration:
    """The configuration in a file. Raises ConfigurationError."""
    fields = Fields(path, configurations.load(path, kind="TracingConfiguration", api_versions=_API_VERSIONS))
    endpoint = fields.get("endpoint", str, _ENDPOINT)
    rate = fields.get("samplingRatePerMillion", int, 0)
    fields.close()
    where = f"{path}: samplingRatePerMillion: Invalid value: {rate}"
    if rate < 0:
        raise ConfigurationError(f"{where}: sampling rate must be positive")
    if rate > _MILLION:
        raise ConfigurationError(f"{where}: sampling rate per million must be less than or equal to one million")
    try:
        url = _url(endpoint)
    except ValueError as error:
        raise ConfigurationError(f'{path}: endpoint: Invalid value: "{endpoint}": {error}') from error
    return Configuration(url, rate / _MILLION)


def _url(endpoint: str) -> str:
    """The URL of an endpoint in gRPC's notation ("gRPC Name Resolution"). Raises ValueError."""
    scheme, colon, rest = endpoint.partition(":")
    if "//" in endpoint and (not colon or scheme not in _SCHEMES):
        raise ValueError(
            f"unsupported scheme: {scheme}.  Options are none, dns, unix, or unix-abstract.  "
            "See https://github.com/grpc/grpc/blob/master/doc/naming.md"
        )
    if scheme == "unix":
        return f"unix:{rest.removeprefix('//')}"
    if scheme == "unix-abstract":
        return f"unix-abstract:{rest}"
    if scheme == "dns" and colon:
        # dns://whom-to-ask/host:port: the host's own resolver is asked in every case.
        endpoint = rest.rpartition("/")[2]
    parts = urlsplit(f"http://{endpoint}")
    if not parts.hostname or parts.path or unquote(endpoint) != endpoint:
        raise ValueError("want host:port")
    return f"http://{endpoint}" if parts.port is not None else f"http://{endpoint}:{_DEFAULT_PORT}"

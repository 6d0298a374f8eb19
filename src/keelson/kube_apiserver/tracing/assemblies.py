"""Tracing put together from --tracing-config-file."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.daemons import FatalError
from keelson.kube_apiserver.bootstrap import instances
from keelson.storage.grpc_channels import CallError

from . import configurations, spans
from .configurations import Configuration
from .exporters import Exporter
from .spans import Tracer


class Tracing:
    """One server's tracing."""

    def __init__(self, configuration: Configuration, instance: str) -> None:
        """`instance` is the server's identity."""
        about = {"service.name": "apiserver", "service.instance.id": instance}
        self._exporter = Exporter(configuration.url, about)
        self.tracer = Tracer(configuration.rate, self._exporter.add)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Export while the context is open."""
        async with self._exporter.run():
            yield

    @contextmanager
    def etcd_call(self, path: str) -> Iterator[Mapping[str, str]]:
        """The span of a call to etcd of `/package.Service/Method`, and the headers that tell etcd of it."""
        service, _, method = path.lstrip("/").partition("/")
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        with spans.child(path.lstrip("/"), about, spans.CLIENT) as span:
            number = 0
            try:
                yield spans.headers()
            except CallError as error:
                number = error.number
                raise
            finally:
                if span is not None:
                    span.attributes["rpc.grpc.status_code"] = number


def of(options: argparse.Namespace) -> Tracing:
    """The tracing that the flags describe. Raises FatalError."""
    try:
        found = configurations.load(options.tracing_config_file)
    except ConfigurationError as error:
        raise FatalError(f"argument --tracing-config-file: {error}") from error
    return Tracing(found, instances.identity_of(instances.advertised(options), options.secure_port))

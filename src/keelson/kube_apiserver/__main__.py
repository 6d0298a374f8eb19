"""The daemon kube-apiserver: `python -m keelson.kube_apiserver --etcd-servers=…`."""

from __future__ import annotations

import asyncio

from keelson.component_base import daemons, logs

from . import options, servers, stores


def main() -> None:
    """Run until SIGTERM; ready (sd_notify) once the API is served."""
    found = options.parse()
    logs.setup(found.v, found.logging_format)

    async def run(stop: asyncio.Event) -> None:
        tracing = None
        if found.tracing_config_file:
            # Only who has configured it pays for it.
            from .tracing import assemblies

            tracing = assemblies.of(found)
        store = stores.of(found, tracing)
        try:
            async with servers.Server(found, store, tracing=tracing).serve(stop):
                if not stop.is_set():
                    daemons.ready()
                await stop.wait()
        finally:
            await store.close()

    daemons.run(run)


if __name__ == "__main__":
    main()

"""The entry point of `pulumi-resource-keelson`: the engine starts it with its address and reads a port from stdout."""

from __future__ import annotations

import argparse
import asyncio
import sys

from components.provider import registries, servers


def main() -> None:
    """Serve the plugin until the engine ends."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-keelson", description=__doc__)
    parser.add_argument("engine", nargs="?", help="address of the engine, as Pulumi gives it")
    arguments, _ = parser.parse_known_args()

    async def announce(port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    asyncio.run(servers.serve(registries.ALL, arguments.engine, announce))


if __name__ == "__main__":
    main()

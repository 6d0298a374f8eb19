"""SSH keys of a stack, as resources: each machine's own, made before the machine, and the operator's for all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from components.hosts import ssh_keys
from components.hosts.labs import Lab
from components.provider.kinds import Context, Created, Found, Kind, Values


class SshHostKey(Kind):
    """No inputs. Outputs: `private_key` (OpenSSH's format, secret) and `public_key` (type and base64)."""

    type_name: ClassVar[str] = "keelson:index:SshHostKey"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"private_key"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("private_key", "public_key")

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make the pair."""
        private, public = ssh_keys.pair(context.name)
        return Created(context.name, {**inputs, "private_key": private, "public_key": _bare(public)})


class OperatorKey(Kind):
    """Inputs: `clone`, `stack`. Outputs: `path` of the private key in the stack's lab, and `public_key`."""

    type_name: ClassVar[str] = "keelson:index:OperatorKey"
    computed_outputs: ClassVar[tuple[str, ...]] = ("path", "public_key")

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make the key, or take the one that is there."""
        return Created(context.name, await asyncio.to_thread(_ensure, inputs))

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See whether it is there."""
        exists = await asyncio.to_thread(_path(outputs).is_file)
        return Found(inputs, await asyncio.to_thread(_ensure, inputs or outputs)) if exists else None


def _ensure(values: Mapping[str, Any]) -> Values:
    path = _path(values)
    lab = Lab(clone=Path(values["clone"]), stack=values["stack"])
    lab.make_directory()
    public = ssh_keys.ensure(path, f"operator@{lab.id}")
    return {"clone": values["clone"], "stack": values["stack"], "path": str(path), "public_key": _bare(public)}


def _path(values: Mapping[str, Any]) -> Path:
    return Lab(clone=Path(values["clone"]), stack=values["stack"]).directory / "id_ed25519"


def _bare(line: str) -> str:
    return " ".join(line.split()[:2])

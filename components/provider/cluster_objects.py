"""Objects that the toolkit itself keeps in a cluster, such as the token that kubelets join with and the cluster's DNS.

They are applied as soon as the API answers, while hosts still converge, since a node agent is not healthy before it
could join. What is compared is what the manifests say; fields of others are theirs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from components.provider.cluster_clients import ApiUnreachableError, ClusterClient, connect, reference
from components.provider.kinds import Change, Context, Created, Found, Kind, Values
from components.provider.property_values import UNKNOWN, differences

_READY_SECONDS: Final = 300.0


class ClusterObjects(Kind):
    """Inputs: `kubeconfig` and `objects` (manifests). Output: `applied`, a digest by object, that of what is there."""

    type_name: ClassVar[str] = "keelson:index:ClusterObjects"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"kubeconfig", "objects"})

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Name each object that is to be applied or removed."""
        if new_inputs.get("objects") is UNKNOWN:
            return [Change(("objects",))]
        wanted = _digests(new_inputs["objects"])
        return [
            Change(("applied", *path), kind, against_inputs=False)
            for path, kind in differences(outputs.get("applied") or {}, wanted)
        ]

    def previewed(self, inputs: Values, outputs: Values | None) -> Values:
        """Once applied, objects are what the manifests say."""
        objects = inputs["objects"]
        return {**inputs, "applied": UNKNOWN if objects is UNKNOWN else _digests(objects)}

    async def create(self, context: Context, inputs: Values) -> Created:
        """Wait for the API, then apply each object."""
        return Created(context.name, await self.update(context, context.name, {}, inputs))

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Apply each object, and remove those that are no longer wanted."""
        context.report.status("waits for the API")
        wanted = {reference(manifest) for manifest in inputs["objects"]}
        dropped = [manifest for manifest in outputs.get("objects") or [] if reference(manifest) not in wanted]

        def work() -> None:
            with connect(inputs["kubeconfig"]) as cluster:
                cluster.await_ready(_READY_SECONDS, context.shared.gives_up)
                for manifest in inputs["objects"]:
                    context.report.status(f"applies {reference(manifest)}")
                    cluster.apply(manifest)
                for manifest in dropped:
                    context.report.status(f"deletes {reference(manifest)}")
                    cluster.delete(manifest)

        await asyncio.to_thread(work)
        return {**inputs, "applied": _digests(inputs["objects"])}

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See which objects are there as the manifests say. While the API is down nothing is known to be there."""
        objects = outputs.get("objects") or []

        def work() -> dict[str, str]:
            with connect(outputs["kubeconfig"]) as cluster:
                return {
                    reference(manifest): _digest(manifest) for manifest in objects if _is_as_said(cluster, manifest)
                }

        try:
            applied = await asyncio.to_thread(work)
        except ApiUnreachableError as error:
            context.report.warning(f"{error}; what is in the cluster is not known")
            applied = {}
        return Found(inputs, {**outputs, "applied": applied})


def _is_as_said(cluster: ClusterClient, manifest: Mapping[str, Any]) -> bool:
    there = cluster.get(manifest)
    return there is not None and covers(there, manifest)


def covers(there: Any, said: Any) -> bool:
    """Whether an object has all that a manifest says; what the server or others added does not count."""
    if isinstance(said, Mapping):
        return isinstance(there, Mapping) and all(covers(there.get(name), value) for name, value in said.items())
    if isinstance(said, list):
        return (
            isinstance(there, list)
            and len(there) == len(said)
            and all(covers(one, other) for one, other in zip(there, said, strict=True))
        )
    return bool(there == said) or (not said and there is None)


def _digests(objects: list[dict[str, Any]]) -> dict[str, str]:
    return {reference(manifest): _digest(manifest) for manifest in objects}


def _digest(manifest: Mapping[str, Any]) -> str:
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()[:16]

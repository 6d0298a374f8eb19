"""The label by which control-plane nodes are known, as `kubectl get nodes` shows it in the column ROLES.

A kubelet may not give itself labels of `node-role.kubernetes.io` (NodeRestriction), so the toolkit gives them, once the
node has registered itself: a Node that the toolkit created would be taken for the kubelet's own.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any, ClassVar, Final

from components.provider.cluster_clients import ApiUnreachableError, ClusterClient, connect, wait
from components.provider.kinds import Change, Context, Created, Found, Kind, Values
from components.provider.property_values import UNKNOWN

LABEL: Final = "node-role.kubernetes.io/control-plane"
_REGISTERED_SECONDS: Final = 300.0


class ControlPlaneLabels(Kind):
    """Inputs: `kubeconfig` and `nodes` (names). Output: `labelled`, the names of those that have the label."""

    type_name: ClassVar[str] = "keelson:index:ControlPlaneLabels"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"kubeconfig"})

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Nodes that lack the label, or are new."""
        lacking = set(new_inputs["nodes"]) - set(outputs.get("labelled") or [])
        return [Change(("labelled",), against_inputs=False)] if lacking else []

    def previewed(self, inputs: Values, outputs: Values | None) -> Values:
        """Afterwards all nodes have it."""
        nodes = inputs["nodes"]
        return {**inputs, "labelled": UNKNOWN if nodes is UNKNOWN else sorted(nodes)}

    async def create(self, context: Context, inputs: Values) -> Created:
        """Wait for each node, then label it."""
        return Created(context.name, await self.update(context, context.name, {}, inputs))

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """As `create`; a label that is there already stays as it is."""

        def work() -> None:
            with connect(inputs["kubeconfig"]) as cluster:
                cluster.await_ready(_REGISTERED_SECONDS, context.shared.gives_up)
                for name in inputs["nodes"]:
                    context.report.status(f"waits for node {name} to register")
                    wait(functools.partial(_label, cluster, name), _REGISTERED_SECONDS, context.shared.gives_up)

        await asyncio.to_thread(work)
        return {**inputs, "labelled": sorted(inputs["nodes"])}

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See which nodes have it. While the API is down none is known to."""

        def work() -> list[str]:
            with connect(outputs["kubeconfig"]) as cluster:
                return sorted(name for name in outputs["nodes"] if _has(cluster, name))

        try:
            labelled = await asyncio.to_thread(work)
        except ApiUnreachableError as error:
            context.report.warning(f"{error}; the labels of nodes are not known")
            labelled = []
        return Found(inputs, {**outputs, "labelled": labelled})


def _node(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def _has(cluster: ClusterClient, name: str) -> bool:
    node = cluster.get(_node(name))
    return node is not None and LABEL in (node["metadata"].get("labels") or {})


def _label(cluster: ClusterClient, name: str) -> str | None:
    """Label the node; why that can't be done yet, or None."""
    node = cluster.get(_node(name))
    if node is None:
        return f"node {name} has not registered"
    # The UID keeps the apply from creating a Node where this one went meanwhile.
    wanted = {"name": name, "uid": node["metadata"]["uid"], "labels": {LABEL: ""}}
    cluster.apply({**_node(name), "metadata": wanted})
    return None

"""The plugins, one predicate a file, and the default profile that orders and weighs them as upstream does."""

from __future__ import annotations

from keelson.kube_scheduler.decisions.frameworks import Profile

from . import (
    balanced_allocation,
    image_locality,
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    node_resources_fit,
    node_unschedulable,
    pod_topology_spread,
    taint_toleration,
)

DEFAULT = Profile(
    filters=(
        (node_unschedulable.NAME, node_unschedulable.filter),
        (node_name.NAME, node_name.filter),
        (taint_toleration.NAME, taint_toleration.filter),
        (node_affinity.NAME, node_affinity.filter),
        (node_ports.NAME, node_ports.filter),
        (node_resources_fit.NAME, node_resources_fit.filter),
        (pod_topology_spread.NAME, pod_topology_spread.filter),
        (inter_pod_affinity.NAME, inter_pod_affinity.filter),
    ),
    scores=(
        (taint_toleration.NAME, taint_toleration.score, 3),
        (node_affinity.NAME, node_affinity.score, 2),
        (node_resources_fit.NAME, node_resources_fit.score, 1),
        (pod_topology_spread.NAME, pod_topology_spread.score, 2),
        (inter_pod_affinity.NAME, inter_pod_affinity.score, 2),
        (balanced_allocation.NAME, balanced_allocation.score, 1),
        (image_locality.NAME, image_locality.score, 1),
    ),
    trials=(
        node_resources_fit.trial,
        node_ports.trial,
        pod_topology_spread.trial,
        inter_pod_affinity.trial,
    ),
)

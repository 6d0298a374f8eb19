"""The FlowSchemas and PriorityLevelConfigurations that every cluster has ("API Priority and Fairness", defaults).

Mandatory ones always hold their default spec; suggested ones belong to the server until an operator says by
`apf.kubernetes.io/autoupdate-spec: "false"` (or by changing the spec) that they are his.
"""

from __future__ import annotations

from collections.abc import Sequence

from keelson.api.meta import Object

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
EXEMPT, CATCH_ALL = "exempt", "catch-all"
API_VERSION = "flowcontrol.apiserver.k8s.io/v1"

_EVERYBODY = ("system:unauthenticated", "system:authenticated")
_ALL = ("*",)


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


_SYSTEM_ACCOUNTS: list[Object] = [
    {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}}
]


def _on(
    resources: Sequence[str] = _ALL,
    *,
    verbs: Sequence[str] = _ALL,
    groups: Sequence[str] = _ALL,
    cluster_scope: bool = True,
) -> Object:
    rule: Object = {"verbs": [*verbs], "apiGroups": [*groups], "resources": [*resources]}
    if cluster_scope:
        rule["clusterScope"] = True
    rule["namespaces"] = ["*"]
    return rule


def _rule(
    subjects: list[Object], *resource_rules: Object, urls: Sequence[str] = (), verbs: Sequence[str] = _ALL
) -> Object:
    rule: Object = {"subjects": subjects}
    if resource_rules:
        rule["resourceRules"] = [*resource_rules]
    if urls:
        rule["nonResourceRules"] = [{"verbs": [*verbs], "nonResourceURLs": [*urls]}]
    return rule


def _everything(subjects: list[Object]) -> Object:
    return _rule(subjects, _on(), urls=_ALL)


def _schema(name: str, level: str, precedence: int, method: str, rule: Object) -> Object:
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowSchema",
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}},
        "spec": spec,
    }


def _level(name: str, spec: Object) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}},
        "spec": spec,
    }


def _queuing(name: str, shares: int, lendable: int, queues: int, hand: int) -> Object:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": {"type": "Queue", "queuing": queuing},
    }
    return _level(name, {"type": "Limited", "limited": limited})


def mandatory_levels() -> list[Object]:
    """The levels without which requests could not be served at all."""
    rejecting = {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}
    return [
        _level(CATCH_ALL, {"type": "Limited", "limited": rejecting}),
        _level(EXEMPT, {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
    ]


def mandatory_schemas() -> list[Object]:
    """The schemas that make sure that every request matches one."""
    return [
        _schema(EXEMPT, EXEMPT, 1, "", _everything(_groups("system:masters"))),
        _schema(CATCH_ALL, CATCH_ALL, 10000, "ByUser", _everything(_groups(*_EVERYBODY))),
    ]


def suggested_levels() -> list[Object]:
    """The levels of a cluster whose operator states none."""
    return [
        _queuing("system", 30, 33, 64, 6),
        _queuing("node-high", 40, 25, 64, 6),
        _queuing("leader-election", 10, 0, 16, 4),
        _queuing("workload-high", 40, 50, 128, 6),
        _queuing("workload-low", 100, 90, 128, 6),
        _queuing("global-default", 20, 50, 128, 6),
    ]


def suggested_schemas() -> list[Object]:
    """The schemas of a cluster whose operator states none."""
    leases = _on(["leases"], verbs=("get", "create", "update"), groups=("coordination.k8s.io",), cluster_scope=False)
    node_reports = _rule(
        _groups("system:nodes"),
        _on(["nodes", "nodes/status"], groups=("",)),
        _on(["leases"], groups=("coordination.k8s.io",), cluster_scope=False),
    )
    electors = [*_users("system:kube-controller-manager", "system:kube-scheduler"), *_SYSTEM_ACCOUNTS]
    probes = _rule(_groups(*_EVERYBODY), urls=("/healthz", "/readyz", "/livez"), verbs=("get",))
    return [
        _schema("system-nodes", "system", 500, "ByUser", _everything(_groups("system:nodes"))),
        _schema("system-node-high", "node-high", 400, "ByUser", node_reports),
        _schema("probes", EXEMPT, 2, "", probes),
        _schema("system-leader-election", "leader-election", 100, "ByUser", _rule(electors, leases)),
        _schema(
            "kube-controller-manager", "workload-high", 800, "ByNamespace",
            _everything(_users("system:kube-controller-manager")),
        ),
        _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _everything(_users("system:kube-scheduler"))),
        _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _everything(_SYSTEM_ACCOUNTS)),
        _schema("service-accounts", "workload-low", 9000, "ByUser", _everything(_groups("system:serviceaccounts"))),
        _schema("global-default", "global-default", 9900, "ByUser", _everything(_groups(*_EVERYBODY))),
    ]  # fmt: skip

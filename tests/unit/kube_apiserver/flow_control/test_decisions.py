"""The pure half of priority and fairness."""

from __future__ import annotations

from collections import Counter

import pytest

from keelson.kube_apiserver.flow_control import bootstrap_objects
from keelson.kube_apiserver.flow_control.decisions import concurrency, matching
from keelson.kube_apiserver.flow_control.decisions.concurrency import Claim, Demand, Limits
from keelson.kube_apiserver.flow_control.decisions.queues import QueueSet
from keelson.kube_apiserver.flow_control.drops import Drops
from keelson.kube_apiserver.flow_control.upkeep import revised
from keelson.kube_apiserver.registry.contexts import ANONYMOUS, User
from keelson.kube_apiserver.serving import request_infos

_AUTHENTICATED = "system:authenticated"


@pytest.mark.parametrize(
    ("user", "method", "path", "wanted"),
    [
        (User("admin", ("system:masters", _AUTHENTICATED)), "GET", "/api/v1/pods", "exempt"),
        (ANONYMOUS, "GET", "/readyz/etcd", "probes"),
        (ANONYMOUS, "GET", "/version", "global-default"),
        (User("system:node:a", ("system:nodes", _AUTHENTICATED)), "PATCH", "/api/v1/nodes/a/status",
         "system-node-high"),
        (User("system:node:a", ("system:nodes", _AUTHENTICATED)), "GET", "/api/v1/pods", "system-nodes"),
        (User("system:kube-scheduler", (_AUTHENTICATED,)), "PUT",
         "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x", "system-leader-election"),
        (User("system:kube-scheduler", (_AUTHENTICATED,)), "GET", "/api/v1/pods", "kube-scheduler"),
        (User("system:serviceaccount:kube-system:a", (_AUTHENTICATED,)), "GET", "/api/v1/pods",
         "kube-system-service-accounts"),
        (User("system:serviceaccount:kube-system-x:a", ("system:serviceaccounts", _AUTHENTICATED)), "GET",
         "/api/v1/pods", "service-accounts"),
    ],
)  # fmt: skip
def test_defaults_classify_as_documented(user: User, method: str, path: str, wanted: str) -> None:
    schemas = [*bootstrap_objects.suggested_schemas(), *bootstrap_objects.mandatory_schemas()]
    schemas.sort(key=lambda each: (each["spec"]["matchingPrecedence"], each["metadata"]["name"]))
    info = request_infos.of(method, path)
    found = next(each for each in schemas if matching.matches(each, user, info))
    assert found["metadata"]["name"] == wanted


def test_cluster_scope_and_namespaces_are_apart() -> None:
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["a"]}
    schema = {"spec": {"rules": [{"subjects": [{"kind": "User", "user": {"name": "*"}}], "resourceRules": [rule]}]}}
    assert matching.matches(schema, ANONYMOUS, request_infos.of("GET", "/api/v1/namespaces/a/pods"))
    assert not matching.matches(schema, ANONYMOUS, request_infos.of("GET", "/api/v1/namespaces/b/pods"))
    assert not matching.matches(schema, ANONYMOUS, request_infos.of("GET", "/api/v1/nodes"))


def test_hands_are_stable_and_without_repeats() -> None:
    hands = {matching.hand("schema", f"user-{i}", 64, 6) for i in range(200)}
    assert len(hands) == 200
    assert all(len(set(hand)) == 6 and max(hand) < 64 for hand in hands)
    assert matching.hand("schema", "user-1", 64, 6) == matching.hand("schema", "user-1", 64, 6)
    # No queue is in far more hands than its share: 200 * 6 / 64 is about 19.
    assert max(Counter(card for hand in hands for card in hand).values()) < 40


def test_nominal_limits_follow_the_shares() -> None:
    levels = [*bootstrap_objects.suggested_levels(), *bootstrap_objects.mandatory_levels()]
    found = concurrency.nominal({each["metadata"]["name"]: each["spec"] for each in levels}, 600)
    # What the same shares of 600 seats are upstream.
    assert found["workload-low"] == Limits(245, 24, 845)
    assert found["system"] == Limits(74, 50, 674)
    assert found["leader-election"] == Limits(25, 25, 625)
    assert found["exempt"] == Limits(0, 0, 600)


def test_idle_seats_go_where_they_are_wanted() -> None:
    idle, busy = Limits(100, 20, 200), Limits(100, 50, 400)
    seats = concurrency.lent([Claim(idle, 0, 0.0), Claim(busy, 180, 180.0)], 200, 0)
    assert seats == [20, 180]
    assert concurrency.lent([Claim(idle, 100, 100.0), Claim(busy, 100, 100.0)], 200, 0) == [100, 100]
    # Exempt requests took nearly all: everybody keeps what he never lends.
    assert concurrency.lent([Claim(idle, 100, 100.0), Claim(busy, 100, 100.0)], 200, 150) == [20, 50]


def test_demand_is_averaged_over_time() -> None:
    demand = Demand(0.0)
    demand.note(10, 5.0)
    demand.restart(10.0)
    assert (demand.last_high, demand.average, demand.deviation) == (10, 5.0, 5.0)
    assert demand.smoothed == 10.0
    demand.note(0, 10.0)
    demand.restart(20.0)
    # What is past is forgotten slowly.
    assert 9.5 < demand.smoothed < 10.0


def test_a_flow_with_many_requests_does_not_hold_up_another() -> None:
    queues: QueueSet[str] = QueueSet(8, 50)
    for number in range(20):
        assert queues.put(f"many-{number}", 1, (0, 1), 0.0) is not None
    assert queues.put("few", 1, (5, 6), 0.0) is not None
    served = []
    while (entry := queues.head()) is not None:
        queues.take(entry, 0.0)
        served.append(entry.payload)
    assert served.index("few") <= 2
    assert len(served) == 21


def test_what_a_request_really_took_is_charged_to_its_queue() -> None:
    queues: QueueSet[str] = QueueSet(2, 50)
    for name, queue in (("slow-1", 0), ("slow-2", 0), ("quick-1", 1), ("quick-2", 1), ("quick-3", 1)):
        queues.put(name, 1, (queue,), 0.0)
    first = queues.head()
    assert first is not None
    assert first.payload == "slow-1"
    queues.take(first, 0.0)
    queues.ended(first, 1.0)
    served = []
    while (entry := queues.head()) is not None:
        queues.take(entry, 1.0)
        served.append(entry.payload)
    assert served == ["quick-1", "quick-2", "quick-3", "slow-2"]


def test_a_full_queue_refuses() -> None:
    queues: QueueSet[str] = QueueSet(1, 2)
    assert queues.put("a", 1, (0,), 0.0) is not None
    assert queues.put("b", 1, (0,), 0.0) is not None
    assert queues.put("c", 1, (0,), 0.0) is None


def test_fewer_queues_lose_nobody() -> None:
    queues: QueueSet[str] = QueueSet(4, 2)
    queues.put("a", 1, (3,), 0.0)
    queues.resize(1, 2)
    entry = queues.head()
    assert entry is not None
    queues.take(entry, 0.0)
    assert queues.head() is None


def test_retry_after_rises_with_refusals_and_falls_again() -> None:
    drops = Drops()
    for second in range(100, 110):
        for _ in range(50):
            told = drops.count(second)
    assert told > 2
    for second in range(200, 300, 10):
        told = drops.count(second)
    assert told < 4


def test_defaults_come_back_unless_the_operator_took_them_over() -> None:
    wanted = bootstrap_objects.suggested_levels()[0]
    stored = {**wanted, "metadata": {"name": "system", "generation": 2, "annotations": {}}}
    changed = {**stored, "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1}}}
    # Nobody says whose it is, and its spec was changed: it is the operator's from now on.
    theirs = revised(changed, wanted, always=False)
    assert theirs is not None
    assert theirs["spec"] == changed["spec"]
    assert theirs["metadata"]["annotations"] == {bootstrap_objects.AUTO_UPDATE: "false"}
    assert revised(theirs, wanted, always=False) is None
    # Mandatory ones are always the server's.
    ours = revised(changed, wanted, always=True)
    assert ours is not None
    assert ours["spec"] == wanted["spec"]
    assert revised(wanted, wanted, always=True) is None


def test_demand_knows_how_long_there_was_how_much_of_it() -> None:
    demand = Demand(10.0)
    demand.note(2, 11.0)
    demand.note(0, 11.5)
    demand.note(2, 13.0)
    assert demand.until(17.0) == {0: 1.0 + 1.5, 2: 0.5 + 4.0}
    # Looking at it changes nothing.
    assert demand.until(17.0) == {0: 2.5, 2: 4.5}
    demand.restart(18.0)
    assert demand.until(18.0) == {0: 2.5, 2: 5.5}

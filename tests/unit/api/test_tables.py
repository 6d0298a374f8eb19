"""Tables: what `kubectl get` shows of objects in their various states."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta, resources, tables
from keelson.api.tables import cells, paths

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ago(**duration: float) -> str:
    return meta.format_time(NOW - timedelta(**duration))


def row(resource: str, obj: dict[str, Any]) -> dict[str, Any]:
    found = resources.lookup(resource)
    values = tables.row(found, obj, NOW)
    names = [column.name for column in tables.columns(found)]
    assert len(values) == len(names)
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("resource", resources.BUILT_IN, ids=lambda r: f"{r.qualified}/{r.version}")
def test_every_kind_prints_an_empty_object(resource: resources.Resource) -> None:
    obj = {"kind": resource.kind, "metadata": {"name": "a", "creationTimestamp": ago(hours=1)}}
    assert len(tables.row(resource, obj, NOW)) == len(tables.columns(resource))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (179 * 60, "179m"),
        (180 * 60, "3h"),
        (7 * 3600 + 90, "7h1m"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (3 * 86400 + 7200, "3d2h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (731 * 86400, "2y1d"),
        (3000 * 86400, "8y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert cells.human_duration(seconds) == text


def pod(status: dict[str, Any], *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "a", "creationTimestamp": ago(minutes=5), **metadata},
        "spec": {"containers": [{"name": "c"}], **(spec or {})},
        "status": status,
    }


def container(state: dict[str, Any], *, name: str = "c", ready: bool = False, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "ready": ready, "restartCount": 0, **more}


RUNNING = container({"running": {}}, ready=True)
READY = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]
INIT = {"initContainers": [{"name": "i"}, {"name": "j"}]}


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (pod({"phase": "Pending"}), "0/1", "Pending"),
        (pod({"phase": "Running", "containerStatuses": [RUNNING], "conditions": READY}), "1/1", "Running"),
        (
            pod({"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": "ImagePullBackOff"}})]}),
            "0/1",
            "ImagePullBackOff",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 3}})]}),
            "0/1",
            "ExitCode:3",
        ),
        (
            pod(
                {
                    "phase": "Failed",
                    "containerStatuses": [container({"terminated": {"exitCode": 3, "reason": "Error"}})],
                }
            ),
            "0/1",
            "Error",
        ),
        (pod({"phase": "Failed", "reason": "Evicted"}), "0/1", "Evicted"),
        (
            pod({"phase": "Running", "containerStatuses": [RUNNING]}, deletionTimestamp=ago(seconds=1)),
            "1/1",
            "Terminating",
        ),
        (
            pod({"phase": "Unknown", "reason": "NodeLost"}, deletionTimestamp=ago(seconds=1)),
            "0/1",
            "Unknown",
        ),
        (
            pod({"phase": "Pending", "initContainerStatuses": [container({"running": {}}, name="i")]}, spec=INIT),
            "0/1",
            "Init:0/2",
        ),
        (
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [
                        container({"terminated": {"exitCode": 0}}, name="i"),
                        container({"waiting": {"reason": "CrashLoopBackOff"}}, name="j"),
                    ],
                },
                spec=INIT,
            ),
            "0/1",
            "Init:CrashLoopBackOff",
        ),
        (
            pod(
                {
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }
            ),
            "0/1",
            "SchedulingGated",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "conditions": READY,
                    "initContainerStatuses": [container({"running": {}}, name="s", ready=True, started=True)],
                    "containerStatuses": [RUNNING],
                },
                spec={"initContainers": [{"name": "s", "restartPolicy": "Always"}]},
            ),
            "2/2",
            "Running",
        ),
    ],
)
def test_pods_in_one_word(obj: dict[str, Any], ready: str, status: str) -> None:
    found = row("pods", obj)
    assert (found["Ready"], found["Status"], found["Age"]) == (ready, status, "5m")


def test_restarts_tell_when() -> None:
    last = {"terminated": {"finishedAt": ago(seconds=90)}}
    status = {"phase": "Running", "containerStatuses": [{**RUNNING, "restartCount": 2, "lastState": last}]}
    found = row("pods", pod({**status, "podIPs": [{"ip": "10.0.0.1"}]}, spec={"nodeName": "n"}))
    assert found["Restarts"] == "2 (90s ago)"
    assert (found["IP"], found["Node"], found["Nominated Node"]) == ("10.0.0.1", "n", "<none>")


def test_nodes() -> None:
    obj = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"},
        },
    }
    found = row("nodes", obj)
    assert found["Status"] == "Ready,SchedulingDisabled"
    assert (found["Roles"], found["Version"], found["Internal-IP"]) == ("control-plane", "v1.36.0", "10.0.0.1")
    assert (found["External-IP"], found["Age"], found["Kernel-Version"]) == ("<none>", "<unknown>", "<unknown>")


def test_services() -> None:
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.1",
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        "selector": {"b": "2", "a": "1"},
    }
    found = row("services", {"metadata": {"name": "s"}, "spec": spec})
    assert found["Port(s)"] == "80:30080/TCP,53/UDP"
    assert found["External-IP"] == "<pending>"
    assert found["Selector"] == "a=1,b=2"
    named = row("services", {"spec": {"type": "ExternalName", "externalName": "x.y"}})
    assert (named["Cluster-IP"], named["External-IP"], named["Port(s)"]) == ("<none>", "x.y", "<none>")


def test_workloads() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}
    spec = {"replicas": 3, "template": template, "selector": {"matchLabels": {"a": "b"}}}
    found = row("deployments.apps", {"spec": spec, "status": {"readyReplicas": 1, "updatedReplicas": 2}})
    assert (found["Ready"], found["Up-to-date"], found["Available"]) == ("1/3", 2, 0)
    assert (found["Containers"], found["Images"], found["Selector"]) == ("a,b", "x:1,y:2", "a=b")
    job = {"spec": {"completions": 2}, "status": {"startTime": ago(minutes=3), "succeeded": 1}}
    assert row("jobs.batch", job)["Completions"] == "1/2"
    assert row("jobs.batch", job)["Duration"] == "3m"
    cron = row("cronjobs.batch", {"spec": {"schedule": "* * * * *"}})
    assert (cron["Last Schedule"], cron["Suspend"]) == ("<none>", "False")


def test_events_of_both_groups_read_alike() -> None:
    about = {"kind": "Pod", "name": "p"}
    core = {"apiVersion": "v1", "involvedObject": about, "message": "m\n", "lastTimestamp": ago(seconds=3), "count": 4}
    new = {"apiVersion": "events.k8s.io/v1", "regarding": about, "note": "m", "eventTime": ago(seconds=3)}
    first, second = row("events", core), row("events.events.k8s.io", new)
    assert (first["Object"], first["Message"], first["Last Seen"], first["Count"]) == ("pod/p", "m", "3s", 4)
    assert (second["Object"], second["Message"], second["Last Seen"], second["Count"]) == ("pod/p", "m", "3s", 1)


def test_endpoints_are_cut() -> None:
    found = row(
        "endpointslices.discovery.k8s.io",
        {"ports": [{"port": 80}], "endpoints": [{"addresses": [f"10.0.0.{i}"]} for i in range(5)]},
    )
    assert found["Endpoints"] == "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."


def test_a_table_has_columns_and_rows() -> None:
    obj = {"metadata": {"name": "a", "creationTimestamp": ago(days=3)}, "data": {"x": "y"}}
    found = tables.table(resources.lookup("configmaps"), [obj], NOW, list_metadata={"resourceVersion": "7"})
    assert found["metadata"] == {"resourceVersion": "7"}
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert found["columnDefinitions"][0]["format"] == "name"
    (only,) = found["rows"]
    assert only["cells"] == ["a", 1, "3d"]
    assert only["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in only["object"]
    whole = tables.table(resources.lookup("configmaps"), [obj], NOW, include_object="Object", with_columns=False)
    assert whole["columnDefinitions"] is None
    assert whole["rows"][0]["object"] == obj
    bare = tables.table(resources.lookup("configmaps"), [obj], NOW, include_object="None")
    assert "object" not in bare["rows"][0]


def test_columns_of_custom_resources() -> None:
    printer = tables.custom_columns(
        [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
            {"name": "Since", "type": "date", "jsonPath": ".status.since", "priority": 1},
            {"name": "Odd", "type": "boolean", "jsonPath": ".spec.size"},
        ]
    )
    obj = {
        "metadata": {"name": "a"},
        "spec": {"size": 3},
        "status": {
            "since": ago(hours=2),
            "conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}],
        },
    }
    assert [column.priority for column in printer.columns] == [0, 0, 0, 1, 0]
    assert printer.cells(obj, NOW) == ["a", 3, "True", "120m", None]
    assert tables.custom_columns([]).cells(obj, NOW) == ["a", "<unknown>"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        (".a['x.y/z']", [2]),
        (".a.x\\.y/z", [2]),
        (".l[0].n", ["p"]),
        (".l[-1].n", ["q"]),
        (".l[*].n", ["p", "q"]),
        (".l[?(@.n=='q')].v", [5]),
        (".l[?(@.v!=5)].n", ["p"]),
        (".missing.b", []),
        ("{.a.b}", [1]),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    value = {"a": {"b": 1, "x.y/z": 2}, "l": [{"n": "p", "v": 4}, {"n": "q", "v": 5}]}
    assert paths.compile_path(path)(value) == found


@pytest.mark.parametrize("path", ["a.b", ".a[", ".a[?(x)]", ".a..b"])
def test_bad_json_paths(path: str) -> None:
    with pytest.raises(paths.PathError):
        paths.compile_path(path)

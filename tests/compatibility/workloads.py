"""The same work for any control plane: what upstream's daemons do all day, with nodes that only exist in the API.

`Nodes` plays the kubelets: it keeps its nodes ready and brings the pods that the scheduler gives them to life and to
their end, so that controllers go through all that they would see on real nodes.
"""

from __future__ import annotations

import base64
import concurrent.futures
import datetime
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import waits
from tests.compatibility.wires import Wire

MERGE = "application/merge-patch+json"
_PATIENCE_SECONDS = 90.0
_TURN_SECONDS = 0.5


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def eventually(what: str, check: Callable[[], Any]) -> Any:
    """What the check returns once that is true; asked again and again, since nobody is told when it is done."""
    return waits.blocked_until(check, what, seconds=_PATIENCE_SECONDS)


class Nodes:
    """Nodes whose kubelets are played by a thread; ends with its context."""

    def __init__(self, wire: Wire, names: tuple[str, ...]) -> None:
        self._wire = wire
        self._names = names
        self._ending = threading.Event()
        self._threads = concurrent.futures.ThreadPoolExecutor(1, "nodes")
        self._living: concurrent.futures.Future[None] | None = None

    def __enter__(self) -> Self:
        for name in self._names:
            node = {
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
                "status": self._status(),
            }
            self._wire.done("POST", "/api/v1/nodes", node)
        self._living = self._threads.submit(self._run)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._threads.shutdown()
        if self._living is not None:
            # Whatever went wrong there went wrong with the test.
            self._living.result()

    @staticmethod
    def _status() -> dict[str, Any]:
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "ready",
            "lastHeartbeatTime": _now(),
            "lastTransitionTime": _now(),
        }
        size = {"cpu": "16", "memory": "64Gi", "pods": "110"}
        return {
            "conditions": [ready],
            "capacity": size,
            "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": "192.0.2.10"}],
            "nodeInfo": {"kubeletVersion": "v1.36.3", "osImage": "none", "architecture": "amd64"},
        }

    def _run(self) -> None:
        beat = 0.0
        while not self._ending.wait(_TURN_SECONDS):
            if time.monotonic() > beat:
                self._beat()
                beat = time.monotonic() + 10
            self._live()

    def _beat(self) -> None:
        """Renew the leases by which kubelets say that they live."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        renewed = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for name in self._names:
            spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed}
            status, _ = self._wire.request("PATCH", f"{path}/{name}", {"spec": spec}, MERGE)
            if status == 404:
                self._wire.done("POST", path, {"metadata": {"name": name}, "spec": spec})

    def _live(self) -> None:
        """Take every pod one step on: from bound to running, from running to its end where it asks for one."""
        for pod in self._wire.done("GET", "/api/v1/pods")["items"]:
            metadata, spec = pod["metadata"], pod["spec"]
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
            if spec.get("nodeName") not in self._names:
                continue
            if metadata.get("deletionTimestamp"):
                gone = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
                self._wire.request("DELETE", path, gone)
                continue
            phase = pod["status"].get("phase")
            if phase == "Pending":
                self._write(path, spec, "Running", ready=True)
            elif phase == "Running" and spec["restartPolicy"] == "Never":
                self._write(path, spec, "Succeeded", ready=False)

    def _write(self, path: str, spec: Any, phase: str, *, ready: bool) -> None:
        said = "True" if ready else "False"
        conditions = [
            {"type": type_, "status": said, "lastTransitionTime": _now()}
            for type_ in ("Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")
        ]
        state = {"running": {"startedAt": _now()}} if ready else {"terminated": {"exitCode": 0, "finishedAt": _now()}}
        containers = [
            {
                "name": each["name"],
                "image": each["image"],
                "imageID": "none",
                "ready": ready,
                "restartCount": 0,
                "state": state,
            }
            for each in spec["containers"]
        ]
        host = 10 + hash(path) % 240
        status = {
            "phase": phase,
            "conditions": [*conditions, {"type": "PodScheduled", "status": "True", "lastTransitionTime": _now()}],
            "containerStatuses": containers,
            "podIP": f"10.244.9.{host}",
            "podIPs": [{"ip": f"10.244.9.{host}"}],
            "hostIP": "192.0.2.10",
            "startTime": _now(),
        }
        # Its pod may be gone by now.
        self._wire.request("PATCH", f"{path}/status", {"status": status}, MERGE)


def _pods(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "example.com/none", "resources": {"requests": {"cpu": "10m"}}}]
    return {"containers": containers, **spec}


def _template(app: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": app}}, "spec": _pods(**spec)}


class Work:
    """One namespace's work, step by step; each step waits until the control plane has done its part."""

    def __init__(self, wire: Wire, namespace: str) -> None:
        self._wire = wire
        self._namespace = namespace

    def _path(self, group: str, plural: str, name: str = "") -> str:
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        return f"{root}/namespaces/{self._namespace}/{plural}" + (f"/{name}" if name else "")

    def _make(self, group: str, plural: str, name: str, **body: Any) -> Any:
        return self._wire.done("POST", self._path(group, plural), {"metadata": {"name": name}, **body})

    def _get(self, group: str, plural: str, name: str) -> Any:
        status, found = self._wire.request("GET", self._path(group, plural, name))
        return found if status == 200 else None

    def _status(self, group: str, plural: str, name: str, **wanted: Any) -> None:
        def reached() -> bool:
            found = (self._get(group, plural, name) or {}).get("status") or {}
            return all(found.get(field, 0) == value for field, value in wanted.items())

        eventually(f"{plural}/{name}: {wanted}", reached)

    def _gone(self, path: str) -> None:
        eventually(f"{path} is gone", lambda: self._wire.request("GET", path)[0] == 404)

    def run(self) -> None:
        """All of it."""
        self.namespace()
        self.deployment()
        self.jobs()
        self.stateful()
        self.daemons()
        self.policies()
        self.volumes()
        self.certificates()
        self.owners()
        self.end()

    def namespace(self) -> None:
        """A namespace, with what controllers put into each."""
        self._wire.done("POST", "/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        eventually("the default account", lambda: self._get("v1", "serviceaccounts", "default"))
        eventually("the root certificate", lambda: self._get("v1", "configmaps", "kube-root-ca.crt"))

    def deployment(self) -> None:
        """A Deployment behind Services: created, scaled, rolled over, undone."""
        spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": _template("web")}
        self._make("apps/v1", "deployments", "web", spec=spec)
        ports: list[Any] = [{"port": 80, "targetPort": 8080}]
        self._make("v1", "services", "web", spec={"type": "NodePort", "selector": {"app": "web"}, "ports": ports})
        self._make("v1", "services", "bare", spec={"clusterIP": "None", "ports": ports})
        self._make(
            "v1", "endpoints", "bare", subsets=[{"addresses": [{"ip": "198.51.100.7"}], "ports": [{"port": 80}]}]
        )
        self._status("apps/v1", "deployments", "web", availableReplicas=3, updatedReplicas=3)
        query = "?labelSelector=kubernetes.io/service-name="

        def ready(service: str, count: int) -> bool:
            slices = self._wire.done("GET", self._path("discovery.k8s.io/v1", "endpointslices") + query + service)
            return sum(len(each["endpoints"] or []) for each in slices["items"]) == count

        eventually("three endpoints", lambda: ready("web", 3))
        eventually("a mirrored endpoint", lambda: ready("bare", 1))
        path = self._path("apps/v1", "deployments", "web")
        self._wire.done("PATCH", f"{path}/scale", {"spec": {"replicas": 5}}, MERGE)
        self._status("apps/v1", "deployments", "web", availableReplicas=5)
        changed = {"spec": {"template": {"metadata": {"annotations": {"again": "yes"}}}}}
        self._wire.done("PATCH", path, changed, MERGE)
        eventually(
            "a second generation",
            lambda: (self._get("apps/v1", "deployments", "web") or {})["status"].get("observedGeneration", 0) >= 3,
        )
        self._status("apps/v1", "deployments", "web", updatedReplicas=5, availableReplicas=5, unavailableReplicas=0)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        self._make(
            "autoscaling/v2", "horizontalpodautoscalers", "web", spec={"scaleTargetRef": target, "maxReplicas": 6}
        )
        selector = {"matchLabels": {"app": "web"}}
        self._make("policy/v1", "poddisruptionbudgets", "web", spec={"minAvailable": 4, "selector": selector})
        self._status("policy/v1", "poddisruptionbudgets", "web", currentHealthy=5, disruptionsAllowed=1)
        # There are no metrics: it says so, and not only where it had the time.
        eventually(
            "an autoscaler's conditions",
            lambda: (
                (self._get("autoscaling/v2", "horizontalpodautoscalers", "web") or {})
                .get("status", {})
                .get("conditions")
            ),
        )
        self._wire.done("DELETE", self._path("v1", "services", "bare"))

    def jobs(self) -> None:
        """A Job that completes, and a CronJob that has run."""
        self._make(
            "batch/v1",
            "jobs",
            "once",
            spec={"completions": 3, "parallelism": 2, "template": _template("once", restartPolicy="Never")},
        )
        self._status("batch/v1", "jobs", "once", succeeded=3)
        eventually("completion", lambda: (self._get("batch/v1", "jobs", "once") or {})["status"].get("completionTime"))
        job = {"spec": {"ttlSecondsAfterFinished": 0, "template": _template("cron", restartPolicy="Never")}}
        self._make("batch/v1", "cronjobs", "cron", spec={"schedule": "*/5 * * * *", "jobTemplate": job})
        body = {"propagationPolicy": "Background"}
        self._wire.done("DELETE", self._path("batch/v1", "jobs", "once"), body)
        self._gone(self._path("batch/v1", "jobs", "once"))

    def stateful(self) -> None:
        """A StatefulSet, scaled down again."""
        spec = {
            "replicas": 2,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": _template("db"),
        }
        self._make("apps/v1", "statefulsets", "db", spec=spec)
        self._status("apps/v1", "statefulsets", "db", readyReplicas=2, availableReplicas=2)
        path = self._path("apps/v1", "statefulsets", "db")
        self._wire.done("PATCH", path, {"spec": {"replicas": 1}}, MERGE)
        self._status("apps/v1", "statefulsets", "db", replicas=1)

    def daemons(self) -> None:
        """A DaemonSet on every node, rolled over, and a ReplicationController."""
        spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": _template("agent")}
        self._make("apps/v1", "daemonsets", "agent", spec=spec)
        nodes = len(self._wire.done("GET", "/api/v1/nodes")["items"])
        self._status("apps/v1", "daemonsets", "agent", numberAvailable=nodes)
        changed = {"spec": {"template": {"metadata": {"annotations": {"again": "yes"}}}}}
        self._wire.done("PATCH", self._path("apps/v1", "daemonsets", "agent"), changed, MERGE)
        eventually(
            "a second generation",
            lambda: (self._get("apps/v1", "daemonsets", "agent") or {})["status"].get("observedGeneration") == 2,
        )
        self._status("apps/v1", "daemonsets", "agent", updatedNumberScheduled=nodes, numberAvailable=nodes)
        spec = {"selector": {"app": "old"}, "template": _template("old")}
        self._make("v1", "replicationcontrollers", "old", spec=spec)
        self._status("v1", "replicationcontrollers", "old", availableReplicas=1)

    def policies(self) -> None:
        """A quota that is counted, a role that is aggregated, an admission policy that is type-checked."""
        self._make("v1", "resourcequotas", "quota", spec={"hard": {"pods": "100", "count/configmaps": "10"}})
        eventually("a count", lambda: (self._get("v1", "resourcequotas", "quota") or {})["status"].get("used"))
        suffix = self._namespace
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        label = {f"aggregate-to-{suffix}": "true"}
        rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
        self._wire.done("POST", roles, {"metadata": {"name": f"part-{suffix}", "labels": label}, "rules": [rule]})
        selectors = {"clusterRoleSelectors": [{"matchLabels": label}]}
        self._wire.done("POST", roles, {"metadata": {"name": suffix}, "aggregationRule": selectors, "rules": []})
        eventually("aggregated rules", lambda: self._wire.done("GET", f"{roles}/{suffix}").get("rules"))
        policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
        rules = [{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]
        spec = {
            "failurePolicy": "Ignore",
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "object.spec.replicas < 100"}],
        }
        self._wire.done("POST", policies, {"metadata": {"name": suffix}, "spec": spec})
        eventually(
            "a type check",
            lambda: "typeChecking" in (self._wire.done("GET", f"{policies}/{suffix}").get("status") or {}),
        )
        for path in (f"{roles}/{suffix}", f"{roles}/part-{suffix}", f"{policies}/{suffix}"):
            self._wire.done("DELETE", path)

    def volumes(self) -> None:
        """A claim that is bound to a volume of its own, and released."""
        name = f"volume-{self._namespace}"
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "hostPath": {"path": "/nowhere"},
            "persistentVolumeReclaimPolicy": "Retain",
        }
        volumes = "/api/v1/persistentvolumes"
        self._wire.done("POST", volumes, {"metadata": {"name": name}, "spec": spec})
        # Before that the claim's controller may not know it, and would say so.
        eventually(
            "an available volume",
            lambda: self._wire.done("GET", f"{volumes}/{name}")["status"].get("phase") == "Available",
        )
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        }
        self._make("v1", "persistentvolumeclaims", "data", spec=claim)
        self._status("v1", "persistentvolumeclaims", "data", phase="Bound")
        mounted = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        self._make("v1", "pods", "user", spec=_pods(volumes=mounted))
        self._status("v1", "pods", "user", phase="Running")
        self._wire.done("DELETE", self._path("v1", "pods", "user"))
        self._gone(self._path("v1", "pods", "user"))
        self._wire.done("DELETE", self._path("v1", "persistentvolumeclaims", "data"))
        self._gone(self._path("v1", "persistentvolumeclaims", "data"))
        self._wire.done("DELETE", f"{volumes}/{name}")
        self._gone(f"{volumes}/{name}")

    def certificates(self) -> None:
        """A certificate that is asked for, approved and signed, and a token of the older kind, in a Secret."""
        requests, name = "/apis/certificates.k8s.io/v1/certificatesigningrequests", f"request-{self._namespace}"
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
        key = ec.generate_private_key(ec.SECP256R1())
        asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        spec = {
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "request": base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode(),
        }
        made = self._wire.done("POST", requests, {"metadata": {"name": name}, "spec": spec})
        approved = {"type": "Approved", "status": "True", "reason": "Test", "message": "it may"}
        self._wire.done("PUT", f"{requests}/{name}/approval", {**made, "status": {"conditions": [approved]}})
        eventually("a certificate", lambda: self._wire.done("GET", f"{requests}/{name}")["status"].get("certificate"))
        self._wire.done("DELETE", f"{requests}/{name}")
        self._make("v1", "serviceaccounts", "robot")
        annotations = {"kubernetes.io/service-account.name": "robot"}
        secret = {
            "metadata": {"name": "robot-token", "annotations": annotations},
            "type": "kubernetes.io/service-account-token",
        }
        self._wire.done("POST", self._path("v1", "secrets"), secret)
        eventually(
            "a token", lambda: ((self._get("v1", "secrets", "robot-token") or {}).get("data") or {}).get("token")
        )

    def owners(self) -> None:
        """Deletion in the foreground, orphaning, and custom resources among the owned."""
        suffix = self._namespace
        group = f"{suffix}.example.com"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        definition = {
            "metadata": {"name": f"things.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                "versions": [version],
            },
        }
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self._wire.done("POST", definitions, definition)
        things = self._path(f"{group}/v1", "things")
        eventually("things are served", lambda: self._wire.request("GET", things)[0] == 200)
        thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "owner"}}
        owner = self._wire.done("POST", things, thing)
        reference = {
            "apiVersion": f"{group}/v1",
            "kind": "Thing",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
        self._wire.done("POST", self._path("v1", "configmaps"), owned)
        self._wire.done("DELETE", f"{things}/owner", {"propagationPolicy": "Foreground"})
        self._gone(f"{things}/owner")
        self._gone(self._path("v1", "configmaps", "owned"))
        self._wire.done("DELETE", f"{definitions}/things.{group}")
        self._gone(f"{definitions}/things.{group}")
        path = self._path("apps/v1", "deployments", "web")
        self._wire.done("DELETE", path, {"propagationPolicy": "Orphan"})
        self._gone(path)
        sets = self._wire.done("GET", self._path("apps/v1", "replicasets"))["items"]
        assert sets
        assert all(not each["metadata"].get("ownerReferences") for each in sets)

    def end(self) -> None:
        """The namespace, with all that is left in it."""
        path = f"/api/v1/namespaces/{self._namespace}"
        self._wire.done("DELETE", path)
        self._gone(path)

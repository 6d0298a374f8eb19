"""kubectl's command line as people use it: each command with what its output must say."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: site, labels: {app: site}}
spec:
  replicas: 2
  selector: {matchLabels: {app: site}}
  template:
    metadata: {labels: {app: site}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: "example.com/site:1", resources: {requests: {cpu: 10m}}}]
"""


class CommandLine:
    """One kubectl, one kubeconfig, one namespace. `home` is where it keeps its discovery cache."""

    def __init__(self, program: Path, kubeconfig: str, namespace: str, home: Path) -> None:
        self.program = program
        self._start = [str(program), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self.namespace = namespace
        self._environment = {**os.environ, "HOME": str(home), "KUBE_EDITOR": "sed -i s/site:[0-9]/site:9/"}
        self.home = home

    def command(self, *arguments: str) -> list[str]:
        """The arguments of a process."""
        return [*self._start, *arguments]

    def run(self, *arguments: str, text: str = "", code: int = 0) -> str:
        """What a command says, on both streams; it must end with this exit code."""
        done = subprocess.run(
            self.command(*arguments), input=text.encode(), capture_output=True, timeout=120, check=False,
            env=self._environment,
        )  # fmt: skip
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == code, f"kubectl {' '.join(arguments)}: exit status {done.returncode}\n{said}"
        return said

    def says(self, pattern: str, *arguments: str, text: str = "", code: int = 0) -> str:
        """Run a command whose output must match a regular expression."""
        said = self.run(*arguments, text=text, code=code)
        assert re.search(pattern, said), f"kubectl {' '.join(arguments)} does not say {pattern!r}:\n{said}"
        return said

    def first_lines(self, count: int, *arguments: str, after: Sequence[str] = ()) -> list[str]:
        """The first lines of a command that goes on for ever; `after` is a command that runs when it has begun."""
        with subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, env=self._environment) as process:
            assert process.stdout is not None
            try:
                lines = [process.stdout.readline().decode()]
                if after:
                    self.run(*after)
                lines += [process.stdout.readline().decode() for _ in range(count - 1)]
            finally:
                process.terminate()
        return lines


def look_around(kubectl: CommandLine, minor: str) -> None:
    """What the server is and what it serves."""
    kubectl.says(rf"Client Version: v{minor}\.\d+\n(.*\n)*Server Version: v1\.36", "version")
    kubectl.says(r"Kubernetes control plane.* is running at", "cluster-info")
    kubectl.says(r"deployments +deploy +apps/v1 +true +Deployment", "api-resources")
    kubectl.says(r"(?m)^pods$", "api-resources", "--api-group=", "--namespaced=true", "--verbs=list,get", "-o", "name")
    kubectl.says(r"(?m)^apps/v1$", "api-versions")
    kubectl.says(r"FIELD: containers <\[\]Container>", "explain", "deployment.spec.template.spec.containers")
    kubectl.says(r"maxSurge\s+<", "explain", "deployments", "--recursive")
    kubectl.says(r"VERSION: +apps/v1", "explain", "deployment", "--output=plaintext-openapiv2")
    kubectl.says("^yes", "auth", "can-i", "create", "pods")
    kubectl.says("^no", "auth", "can-i", "get", "pods", "--as=nobody", code=1)
    kubectl.says(r"\*\.\*", "auth", "can-i", "--list")
    kubectl.says(r"Username +admin", "auth", "whoami")


def create(kubectl: CommandLine) -> None:
    """Every generator, and validation by the server."""
    kubectl.says("created", "create", "configmap", "settings", "--from-literal=a=b")
    kubectl.says("created", "create", "secret", "generic", "hidden", "--from-literal=p=q")
    kubectl.says("created", "create", "serviceaccount", "robot")
    kubectl.says(r"^ey\S+\.\S+\.\S+", "create", "token", "robot", "--duration=10m", "--audience=vault")
    kubectl.says("created", "create", "deployment", "made", "--image=example.com/site:1", "--replicas=1")
    kubectl.says("created", "create", "service", "clusterip", "made", "--tcp=80:8080")
    kubectl.says("created", "create", "service", "nodeport", "noded", "--tcp=80:8080")
    kubectl.says("created", "create", "ingress", "made", "--rule=example.com/*=made:80")
    kubectl.says("created", "create", "job", "made", "--image=example.com/site:1")
    kubectl.says("created", "create", "cronjob", "made", "--image=example.com/site:1", "--schedule=0 0 1 1 *")
    kubectl.says("created", "create", "job", "again", "--from=cronjob/made")
    kubectl.says("created", "create", "quota", "made", "--hard=pods=50")
    kubectl.says("created", "create", "poddisruptionbudget", "made", "--selector=app=made", "--max-unavailable=1")
    kubectl.says("created", "create", "role", "made", "--verb=get", "--resource=pods")
    kubectl.says(
        "created", "create", "rolebinding", "made", "--role=made", f"--serviceaccount={kubectl.namespace}:robot"
    )
    account = f"system:serviceaccount:{kubectl.namespace}:robot"
    kubectl.says("^yes", "auth", "can-i", "get", "pods", f"--as={account}")
    kubectl.says("created", "create", "priorityclass", f"made-{kubectl.namespace}", "--value=5")
    kubectl.says("deleted", "delete", "priorityclass", f"made-{kubectl.namespace}")
    kubectl.says(r"kind: ConfigMap", "create", "configmap", "never", "--dry-run=server", "-o", "yaml")
    kubectl.says("NotFound", "get", "configmap", "never", code=1)
    wrong = DEPLOYMENT.replace("replicas: 2", "replicas: 2\n  replica: 3")
    kubectl.says(r'unknown field "spec.replica"', "create", "-f", "-", "--dry-run=server", text=wrong, code=1)
    kubectl.says(
        r'Warning: unknown field "spec.replica"', "create", "-f", "-", "--dry-run=server", "--validate=warn", text=wrong
    )
    other = DEPLOYMENT.replace("matchLabels: {app: site}", "matchLabels: {app: other}")
    kubectl.says("is invalid: spec.template.metadata.labels", "create", "-f", "-", text=other, code=1)


def apply(kubectl: CommandLine) -> None:
    """Both kinds of apply, what they would change, and who owns what."""
    kubectl.says("deployment.apps/site created", "apply", "-f", "-", text=DEPLOYMENT)
    kubectl.says("deployment.apps/site unchanged", "apply", "-f", "-", text=DEPLOYMENT)
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    kubectl.says(r"\+ +replicas: 3", "diff", "-f", "-", text=changed, code=1)
    kubectl.says(r"\+ +replicas: 3", "diff", "--server-side", "--force-conflicts", "-f", "-", text=changed, code=1)
    kubectl.says("configured", "apply", "-f", "-", text=changed)
    kubectl.says("replicas: 3", "apply", "view-last-applied", "deployment/site")
    kubectl.says("conflict", "apply", "--server-side", "--field-manager=other", "-f", "-", text=DEPLOYMENT, code=1)
    kubectl.says(
        "serverside-applied", "apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-",
        text=DEPLOYMENT,
    )  # fmt: skip
    kubectl.says("manager: other", "get", "deployment", "site", "-o", "yaml", "--show-managed-fields")
    kubectl.says("serverside-applied", "apply", "--server-side", "--force-conflicts", "-f", "-", text=DEPLOYMENT)
    kubectl.says("image updated|edited", "edit", "deployment", "site")
    kubectl.says("site:9", "get", "deployment", "site", "-o", "wide")
    # It reads the version that it replaces, and the deployment's controller writes while it rolls out.
    kubectl.says("successfully rolled out", "rollout", "status", "deployment/site", "--timeout=60s")
    kubectl.says("replaced", "replace", "-f", "-", text=DEPLOYMENT)
    folder = kubectl.home / "kustomization"
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text("configMapGenerator: [{name: generated, literals: [a=b]}]\n")
    kubectl.says(r"configmap/generated-\w+ created", "apply", "-k", str(folder))


def get(kubectl: CommandLine) -> None:
    """Every form of output, selectors, and watches."""
    kubectl.says("condition met", "wait", "--for=condition=Available", "deployment/site", "--timeout=60s")
    kubectl.says(r"NAME +READY +UP-TO-DATE +AVAILABLE +AGE", "get", "deployments")
    kubectl.says(r"CONTAINERS +IMAGES +SELECTOR", "get", "deployments", "-o", "wide")
    kubectl.says(r"NODE +NOMINATED NODE", "get", "pods", "-o", "wide")
    kubectl.says("kind: Deployment", "get", "deployment", "site", "-o", "yaml")
    kubectl.says('"kind": "List"', "get", "deployments,services", "-o", "json")
    kubectl.says("^deployment.apps/made\n", "get", "deployments", "-o", "name")
    kubectl.says("^2$", "get", "deployment", "site", "-o", "jsonpath={.spec.replicas}")
    kubectl.says("^site$", "get", "deployment", "site", "-o", "go-template={{.metadata.name}}")
    kubectl.says(r"N\nmade\nsite", "get", "deployments", "-o", "custom-columns=N:.metadata.name")
    kubectl.says(r"app=site", "get", "deployments", "-l", "app in (site)", "--show-labels")
    kubectl.says(r"settings", "get", "configmaps", "--field-selector=metadata.name=settings")
    kubectl.says(r"(?s)made.*site", "get", "deployments", "--sort-by=.metadata.creationTimestamp")
    kubectl.says(r"NAMESPACE +NAME", "get", "pods", "-A", "--chunk-size=1")
    kubectl.says("currentReplicas|availableReplicas", "get", "deployment", "site", "--subresource=status", "-o", "yaml")
    kubectl.says("No resources found", "get", "pods", "-l", "app=none")
    kubectl.says("service/made", "get", "all")
    kubectl.says("the server doesn't have a resource type", "get", "nonsense", code=1)
    kubectl.says("NotFound", "get", "pod", "nonsense", code=1)
    kubectl.says(r'"gitVersion": ?"v1\.36', "get", "--raw", "/version")
    kubectl.says(r"Replicas: +2 desired", "describe", "deployment", "site")
    kubectl.says(r"Labels: +app=site", "describe", "pods", "-l", "app=site")
    kubectl.says(r"Ready +True", "describe", "node", "node-1")
    kubectl.says(r"Endpoints:", "describe", "service", "made")
    watching = ("get", "configmaps", "settings", "--watch", "--output-watch-events", "-o", "name")
    lines = kubectl.first_lines(2, *watching, after=("label", "configmap", "settings", "seen=yes"))
    assert "settings" in lines[1]
    kubectl.says("Scaled|Created|SuccessfulCreate", "events", "--for=deployment/site")
    kubectl.says("REASON", "get", "events")


def change(kubectl: CommandLine) -> None:
    """Labels, patches, scale, images, and the life of a rollout."""
    kubectl.says("labeled", "label", "deployment", "site", "tier=front")
    kubectl.says("already has a value", "label", "deployment", "site", "tier=back", code=1)
    kubectl.says("labeled", "label", "deployment", "site", "tier=back", "--overwrite")
    kubectl.says("unlabeled|labeled", "label", "deployment", "site", "tier-")
    kubectl.says("annotated", "annotate", "deployment", "site", "note=x", "--overwrite")
    kubectl.says("patched", "patch", "deployment", "site", "-p", '{"spec":{"minReadySeconds":0,"paused":false}}')
    kubectl.says("patched", "patch", "deployment", "site", "--type=merge", "-p", '{"spec":{"revisionHistoryLimit":5}}')
    replace = '[{"op":"replace","path":"/spec/revisionHistoryLimit","value":6}]'
    kubectl.says("patched", "patch", "deployment", "site", "--type=json", "-p", replace)
    scaled = ("--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    kubectl.says("patched", "patch", "deployment", "site", *scaled)
    kubectl.says("scaled", "scale", "deployment/site", "--replicas=2", "--current-replicas=3")
    kubectl.says("successfully rolled out", "rollout", "status", "deployment/site", "--timeout=60s")
    kubectl.says("image updated", "set", "image", "deployment/site", "c=example.com/site:2")
    kubectl.says("env updated", "set", "env", "deployment/site", "A=b")
    kubectl.says("resource requirements updated", "set", "resources", "deployment/site", "--limits=cpu=20m")
    kubectl.says("successfully rolled out", "rollout", "status", "deployment/site", "--timeout=60s")
    kubectl.says(r"REVISION +CHANGE-CAUSE", "rollout", "history", "deployment/site")
    # The second is what the editor left.
    kubectl.says("site:9", "rollout", "history", "deployment/site", "--revision=2")
    kubectl.says("rolled back", "rollout", "undo", "deployment/site", "--to-revision=2")
    kubectl.says("site:9", "get", "deployment", "site", "-o", "wide")
    kubectl.says("paused", "rollout", "pause", "deployment/site")
    kubectl.says("resumed", "rollout", "resume", "deployment/site")
    kubectl.says("restarted", "rollout", "restart", "deployment/site")
    kubectl.says("successfully rolled out", "rollout", "status", "deployment/site", "--timeout=60s")
    kubectl.says("exposed", "expose", "deployment", "site", "--port=80", "--name=exposed")
    kubectl.says("autoscaled", "autoscale", "deployment", "site", "--min=2", "--max=4", "--cpu-percent=50")
    kubectl.says("pod/single created", "run", "single", "--image=example.com/site:1")
    kubectl.says("condition met", "wait", "--for=jsonpath={.status.phase}=Running", "pod/single", "--timeout=60s")
    kubectl.says("", "debug", "pod/single", "--image=example.com/debug:1", "--attach=false", "-c", "debugger")
    kubectl.says("^debugger$", "get", "pod", "single", "-o", "jsonpath={.spec.ephemeralContainers[0].name}")


def nodes(kubectl: CommandLine) -> None:
    """What an administrator does to a node."""
    kubectl.says("cordoned", "cordon", "node-2")
    kubectl.says("SchedulingDisabled", "get", "node", "node-2")
    careless = ("--ignore-daemonsets", "--force", "--delete-emptydir-data")
    kubectl.says("drained", "drain", "node-2", *careless, "--timeout=90s")
    kubectl.says("uncordoned", "uncordon", "node-2")
    kubectl.says("tainted", "taint", "node", "node-2", "k=v:PreferNoSchedule")
    kubectl.says("untainted", "taint", "node", "node-2", "k-")


def delete(kubectl: CommandLine) -> None:
    """One, many, with and without what they own."""
    # It may have gone with its node's pods.
    kubectl.run("delete", "pod", "single", "--now", "--wait", "--ignore-not-found")
    kubectl.says("deleted", "delete", "deployment", "made", "--cascade=orphan")
    kubectl.says("replicaset.apps/made-", "get", "replicasets", "-l", "app=made", "-o", "name")
    kubectl.says("deleted", "delete", "replicasets", "-l", "app=made", "--cascade=foreground")
    kubectl.says("deleted", "delete", "deployment", "site", "--cascade=background", "--wait=false")
    kubectl.run("wait", "--for=delete", "deployment/site", "--timeout=60s")
    kubectl.says("deleted", "delete", "configmaps,secrets", "--all")
    kubectl.says("deleted", "delete", "jobs,cronjobs,services,ingresses", "--all")

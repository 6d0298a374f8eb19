"""The verification of a stack: waits until its nodes are ready, then runs the suite `tests/hosts` against its hosts.

The last resource of an update. A failed check fails the update and says which; `make verify` runs the same suite again.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from xml.etree import ElementTree as ET

from components.provider.cluster_clients import ClusterClient, connect, wait
from components.provider.connections import Target
from components.provider.kinds import Change, Context, Created, Kind, ResourceError, Values
from components.provider.private_directories import private_directory

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SUITE: Final = CHECKOUT / "tests" / "hosts"
_NODES_READY_SECONDS: Final = 180.0
_SHOWN_FAILURES: Final = 10


class Verification(Kind):
    """Inputs: `hosts` (each with properties, groups and variables), `kubeconfig`, `nodes` (names that must be Ready),
    `generations` (by host: what was converged since), `report` (path of the JUnit file).

    Outputs: `passed`, `seconds`, and `described`, the suite's --hosts-file with the lab's own known_hosts beside the
    report, for whoever runs the suite again.
    """

    type_name: ClassVar[str] = "keelson:index:Verification"
    computed_outputs: ClassVar[tuple[str, ...]] = ("passed", "seconds", "described")
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"kubeconfig"})
    updatable: ClassVar[frozenset[str]] = frozenset({"hosts", "kubeconfig", "nodes", "generations", "report"})

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Verify again what was converged again."""
        changes = await super().diff(context, old_inputs, outputs, new_inputs)
        telling = [change for change in changes if change.path[0] in ("generations", "nodes")]
        return telling or changes

    async def create(self, context: Context, inputs: Values) -> Created:
        """Run the suite."""
        return Created(context.name, await self.update(context, context.name, {}, inputs))

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Run the suite again."""
        started = time.monotonic()
        passed = await asyncio.to_thread(_verify, context, inputs)
        known_hosts = Path(inputs["report"]).with_name("known_hosts")
        return {
            **inputs,
            "passed": passed,
            "seconds": round(time.monotonic() - started, 1),
            "described": describe(inputs["hosts"], known_hosts=str(known_hosts)),
        }


def _verify(context: Context, inputs: Values) -> int:
    if inputs.get("kubeconfig"):
        context.report.status("waits for the nodes to be ready")
        with connect(inputs["kubeconfig"]) as cluster:
            await_nodes(cluster, inputs["nodes"], context.shared.gives_up)
    context.report.status("checks the hosts")
    return run_suite(inputs["hosts"], kubeconfig=inputs.get("kubeconfig"), report=Path(inputs["report"]))


def await_nodes(cluster: ClusterClient, names: Sequence[str], give_up: Any) -> None:
    """Wait until each node is there and Ready. Raises `ResourceError` that names those that are not."""

    def amiss() -> str | None:
        body = cluster.request("GET", "/api/v1/nodes").body
        items = body.get("items", []) if isinstance(body, Mapping) else []
        ready = {item["metadata"]["name"] for item in items if _is_ready(item)}
        missing = sorted(set(names) - ready)
        return f"not Ready: {', '.join(missing)}" if missing else None

    wait(amiss, _NODES_READY_SECONDS, give_up)


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def run_suite(hosts: Sequence[Mapping[str, Any]], *, kubeconfig: str | None, report: Path) -> int:
    """Run `tests/hosts` against the hosts; gives the number of checks that passed.

    Raises `ResourceError` that names the checks that failed. The JUnit report is left at `report`.
    """
    with private_directory() as private:
        known_hosts = private / "known_hosts"
        targets = [Target.of(host["properties"]) for host in hosts]
        known_hosts.write_text("".join(target.known_hosts_line for target in targets))
        hosts_file = private / "hosts.json"
        hosts_file.write_text(json.dumps(describe(hosts, known_hosts=str(known_hosts))))
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        if kubeconfig:
            (private / "kubeconfig").write_text(kubeconfig)
            environment["KUBECONFIG"] = str(private / "kubeconfig")
        report.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pytest", str(SUITE), f"--hosts-file={hosts_file}", f"--junitxml={report}"]
        done = subprocess.run(
            [*command, "-q", "-p", "no:cacheprovider"],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ResourceError(_failure(done, report))
        return _passed(report)


def describe(hosts: Sequence[Mapping[str, Any]], *, known_hosts: str) -> dict[str, Any]:
    """The hosts as `tests/hosts` wants them in its --hosts-file; `known_hosts` is the file that pins their keys."""
    targets = [Target.of(host["properties"]) for host in hosts]
    return {
        "hosts": [
            {
                "name": target.name,
                "address": target.address,
                "user": target.user,
                "port": target.port,
                "private_key_path": target.private_key_path,
                "known_hosts": known_hosts,
                "groups": list(host["groups"]),
                "variables": dict(host["variables"]),
            }
            for target, host in zip(targets, hosts, strict=True)
        ]
    }


def _passed(report: Path) -> int:
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - written by our own pytest a moment ago
    return sum(
        int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) - int(suite.get("failures", 0)) for suite in suites
    )


def _failure(done: subprocess.CompletedProcess[str], report: Path) -> str:
    failed = []
    if report.is_file():
        for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - as above
            for trouble in (*case.iter("failure"), *case.iter("error")):
                reason = (trouble.get("message") or "").splitlines()[:1]
                failed.append(f"{case.get('name')}: {''.join(reason)}")
    if not failed:
        return f"the checks of the hosts could not run: {' / '.join(done.stdout.strip().splitlines()[-3:])}"
    more = f"; and {len(failed) - _SHOWN_FAILURES} more" if len(failed) > _SHOWN_FAILURES else ""
    return f"{len(failed)} checks of the hosts failed: {'; '.join(failed[:_SHOWN_FAILURES])}{more} (see {report})"

"""Checks the stack when all else is done: the last resource of an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components import resources
from components.machines import Host


@dataclass(frozen=True, slots=True)
class Subject:
    """A converged host: what it has, and the variables that the checks compare it with (none of them secret)."""

    host: Host
    groups: Sequence[str]
    variables: Mapping[str, Any]
    convergence: resources.Convergence


@dataclass(frozen=True, slots=True)
class VerificationArgs:
    """The hosts, the operator's kubeconfig (None for hosts that are no cluster), and where the JUnit report is left."""

    subjects: Sequence[Subject]
    kubeconfig: pulumi.Output[str] | None
    report: str


class Verification(pulumi.ComponentResource):
    """Runs `tests/hosts` after everything in `opts.depends_on`, and again whenever a host was converged again."""

    def __init__(self, resource_name: str, args: VerificationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:Verification", resource_name, None, opts)
        self.result = resources.Verification(
            resource_name,
            hosts=[
                {
                    "properties": subject.host.properties,
                    "groups": list(subject.groups),
                    "variables": dict(subject.variables),
                }
                for subject in args.subjects
            ],
            kubeconfig=args.kubeconfig,
            nodes=[subject.host.name for subject in args.subjects],
            generations={subject.host.name: subject.convergence.generation for subject in args.subjects},
            report=args.report,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"passed": self.result.passed})

"""`python -m tests.conformance ENV`: upstream's conformance suite on a stack that is up.

AREA, FOCUS, BUDGET (minutes) and PROCESSES come in the process's environment. The status is 1 if a spec ended
otherwise than not_passed.yaml says.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from components.setup import clones, engines, kubectls, kubernetes_programs, labs, progress, updates
from components.setup.clones import Stack
from components.setup.errors import SetupError
from tests.conformance import expectations, preloads, reports, specs
from tests.conformance.reports import Result
from tests.conformance.suites import Run, Suite

_ROOT = Path(__file__).parents[2]
_DEFAULT_BUDGET_MINUTES = 180.0
_DEFAULT_PROCESSES = 4


def main(arguments: Sequence[str]) -> int:
    """Run the specs that the environment chooses on the stack named by the one argument, and tell how they ended."""
    try:
        return _run(clones.Clone(_ROOT).stack(arguments[0]))
    except SetupError as error:
        progress.say(str(error))
        return 1


def _run(stack: Stack) -> int:
    started = time.monotonic()
    budget = _number("BUDGET", _DEFAULT_BUDGET_MINUTES)
    outputs = updates.outputs(stack, engines.find(_ROOT))
    program = kubernetes_programs.build(_ROOT, "e2e.test")
    everything = specs.listed(program)
    area = os.environ.get("AREA", "")
    names = specs.chosen(everything, area_=area, focus=os.environ.get("FOCUS", ""))
    reasons = expectations.load(everything)
    kubectl = kubectls.find(_ROOT) / "kubectl"
    archives = preloads.build()
    hosts = labs.hosts(outputs)
    for host in hosts:
        preloads.bring(archives, host.name, functools.partial(labs.ssh, stack, outputs, host.name))
    # The report of one area stays while another is run.
    place = stack.place / "conformance" / (area or "all")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    run = Run(
        suite=Suite(
            program=program,
            kubeconfig=labs.kubeconfig(stack, outputs),
            kubectl=kubectl,
            nodes=sum("kube_apiserver" not in host.roles for host in hosts),
            place=place,
        ),
        names=names,
        processes=int(_number("PROCESSES", _DEFAULT_PROCESSES)),
        # What is built once a machine takes nothing from the specs.
        deadline=time.monotonic() + budget * 60,
    )
    progress.say(f"{len(names)} specs, by {run.processes} processes, for at most {budget:g} minutes")
    results = run.run()
    report = place / "junit.xml"
    reports.write(report, results)
    return _tell(results, expectations.complaints(results, reasons), report, time.monotonic() - started)


def _tell(results: Sequence[Result], complaints: Sequence[str], report: Path, seconds: float) -> int:
    areas = sorted({specs.area(result.name) for result in results})
    for area in areas:
        members = [result for result in results if specs.area(result.name) == area]
        counts = Counter(result.state for result in members)
        others = ", ".join(f"{counts[state]} {state}" for state in ("failed", "skipped", "not run") if counts[state])
        sys.stdout.write(f"{area}: {counts['passed']}/{len(members)} passed{f', {others}' if others else ''}\n")
    for complaint in complaints:
        sys.stdout.write(f"{complaint}\n")
    progress.say(f"{seconds / 60:.1f} minutes; the report: {report}")
    return 1 if complaints else 0


def _number(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise SetupError(f"{name}={text} is no number above zero", f"leave it out for {default:g}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m components.setup <verb>`: what each target of the Makefile runs, once bootstrap.sh has made Python ready.

The environment, host, command and state come as ENV, HOST, CMD and STATE in the process's environment, so that no shell
quotes them twice.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from components.setup import checks, clones, engines, kubectls, labs, progress, runs, updates
from components.setup.clones import Clone, Stack
from components.setup.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]


def up(stack: Stack) -> int:
    return runs.up(stack)


def destroy(stack: Stack) -> int:
    return runs.destroy(stack)


def env(stack: Stack) -> int:
    engine = engines.find(stack.clone.root)
    updates.ensure(stack, engine)
    kubectl = kubectls.cached(stack.clone.root)
    sys.stdout.write(clones.shell(stack.exports(engine, *([kubectl] if kubectl else []))))
    return 0


def kubeconfig(stack: Stack) -> int:
    sys.stdout.write(f"{labs.kubeconfig(stack, _outputs(stack))}\n")
    return 0


def hosts(stack: Stack) -> int:
    sys.stdout.write(labs.table(_outputs(stack)))
    return 0


def ssh(stack: Stack) -> int:
    return labs.enter(labs.ssh(stack, _outputs(stack), os.environ.get("HOST", ""), os.environ.get("CMD", "")))


def power(stack: Stack) -> int:
    labs.power(stack, os.environ.get("HOST", ""), os.environ.get("STATE", ""))
    return 0


def verify(stack: Stack) -> int:
    return runs.verify(stack)


def check(clone: Clone) -> int:
    return checks.run(clone.root, clone.environ)


def test(clone: Clone) -> int:
    return runs.test(clone)


def bench(stack: Stack) -> int:
    return runs.program(stack.clone, "tests.bench", stack.name)


def conformance(stack: Stack) -> int:
    return runs.program(stack.clone, "tests.conformance", stack.name)


def nightly(clone: Clone) -> int:
    return runs.nightly(clone)


_ON_STACK: dict[str, Callable[[Stack], int]] = {
    function.__name__: function
    for function in (up, destroy, env, kubeconfig, hosts, ssh, power, verify, bench, conformance)
}
_ON_CLONE: dict[str, Callable[[Clone], int]] = {function.__name__: function for function in (check, test, nightly)}


def main(arguments: list[str]) -> int:
    """Run one verb and return its exit status: 1 with one line on standard error where set-up cannot go on."""
    verb = arguments[0] if len(arguments) == 1 else ""
    clone = Clone(ROOT)
    try:
        if verb in _ON_CLONE:
            return _ON_CLONE[verb](clone)
        if verb in _ON_STACK:
            return _ON_STACK[verb](clone.stack(os.environ.get("ENV") or "dev"))
    except SetupError as error:
        progress.say(str(error))
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; the same command run again completes what was begun")
        return 130
    progress.say(f"usage: python -m components.setup {{{','.join((*_ON_STACK, *_ON_CLONE))}}}")
    return 2


def _outputs(stack: Stack) -> dict[str, object]:
    engine = engines.find(stack.clone.root)
    outputs = updates.outputs(stack, engine)
    return outputs if "hosts" in outputs else {**outputs, "hosts": updates.recorded_hosts(stack, engine)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

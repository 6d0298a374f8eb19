"""The verbs that take several steps: bringing a stack up and down, and what is tested on it."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from components.setup import checks, commands, engines, kubectls, labs, libvirt_plugins, packages, progress, updates
from components.setup.clones import Clone, Stack
from components.setup.errors import SetupError

_NIGHTLY_INTERVAL_SECONDS = 60.0
_IMAGES = ("machine", "oci", "bundle")
# What the suites run for real, and the Debian package that each comes with.
_TEST_PROGRAMS = {
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "containerd": "containerd",
    "runc": "runc",
    "catatonit": "catatonit",
    "busybox": "busybox-static",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}


class Times:
    """How long each phase of a run took, each measured from the end of the one before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._phases: dict[str, float] = {}

    def ended(self, phase: str) -> None:
        """Note that `phase` ended now."""
        now = self._clock()
        self._phases[phase] = now - self._last
        self._last = now

    def __str__(self) -> str:
        return ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in self._phases.items())


def up(stack: Stack) -> int:
    """Prepare tools, images and the Pulumi stack, put right what a killed run left, and run `pulumi up`."""
    times = Times()
    builders = _start_image_builders(stack)
    try:
        engine = engines.find(stack.clone.root)
        _offer_kubectl(stack.clone)
        if _host_kind(stack) == "libvirtVm":
            libvirt_plugins.ensure(stack, engine)
        times.ended("tools")
    finally:
        failed = [kind for kind, builder in builders.items() if builder.wait() != 0]
    if failed:
        raise SetupError(f"the images of {', '.join(failed)} could not be built", "see the lines above")
    times.ended("images")
    updates.ensure(stack, engine)
    updates.recover(stack, engine)
    times.ended("state")
    status = updates.up(stack, engine)
    times.ended("pulumi")
    if status == 0:
        progress.say(f"{stack.name} is up ({times})")
        progress.say(f"to use it: export KUBECONFIG=$(make -s kubeconfig ENV={stack.name})")
    else:
        progress.say(f"{stack.name} is not up: see Pulumi's diagnostics above; the same command goes on from here")
    return status


def destroy(stack: Stack) -> int:
    """Run `pulumi destroy`, and leave nothing of the stack on the machine."""
    status = 0
    if updates.exists(stack):
        engine = engines.find(stack.clone.root)
        if _host_kind(stack) == "libvirtVm":
            libvirt_plugins.ensure(stack, engine)
        updates.ensure(stack, engine)
        updates.recover(stack, engine)
        # Hosts whose making was killed are not in the state, and the lab's network does not go before they do.
        labs.remove_hosts(stack, but={host["name"] for host in updates.recorded_hosts(stack, engine)})
        status = updates.destroy(stack, engine)
    else:
        progress.say(f"{stack.name} has no state")
    if status == 0:
        # Hosts that no state tells of: the state was lost, or the run that made them was killed before it was written.
        labs.clear(stack)
        shutil.rmtree(stack.place)
        progress.say(f"nothing of {stack.name} is left")
    return status


def test(clone: Clone) -> int:
    """Run the checks, then every test that needs no more than this machine; pytest's summary comes last.

    Tests that want a cluster bring up one of their own, and take it down; it is a stack apart from the operator's.
    """
    _install_test_programs()
    checked = checks.run(clone.root, clone.environ)
    tested = program(clone, "pytest", "-m", "not nightly", "--ignore=tests/hosts")
    return checked or tested


def nightly(clone: Clone) -> int:
    """Run the tests that are too long for every change: virtual machines, faults, fuzzing."""
    _install_test_programs()
    # Each test is named as it begins, since some take many minutes and say nothing until they end.
    with progress.heartbeat("nightly tests", interval_seconds=_NIGHTLY_INTERVAL_SECONDS):
        return program(clone, "pytest", "-v", "-m", "nightly", "--ignore=tests/hosts")


def verify(stack: Stack) -> int:
    """Run `tests/hosts` on the stack's hosts, as the last resource of `pulumi up` did; return 1 if a check fails.

    That resource's inputs, as the state has them, say which hosts there are and what they must be.
    """
    # Here, because the cluster client that comes with it takes longer to import than all other verbs take to run.
    from components.provider import kinds, verification

    inputs = updates.resource_inputs(stack, engines.find(stack.clone.root), verification.Verification.type_name)
    started = time.monotonic()
    try:
        with progress.heartbeat(f"verifying the hosts of {stack.name}"):
            passed = verification.run_suite(
                inputs["hosts"], kubeconfig=inputs.get("kubeconfig"), report=Path(inputs["report"])
            )
    except kinds.ResourceError as error:
        progress.say(str(error))
        return 1
    progress.say(f"{passed} checks passed ({time.monotonic() - started:.0f} s); the report: {inputs['report']}")
    return 0


def _install_test_programs() -> None:
    absent = [package for name, package in _TEST_PROGRAMS.items() if shutil.which(name) is None]
    if absent:
        packages.install(absent, why="the tests")


def program(clone: Clone, module: str, *arguments: str) -> int:
    """Run a Python module on the operator's terminal, with the virtual environment and kubectl on its PATH."""
    folders = [clone.root / ".venv" / "bin", kubectls.find(clone.root)]
    environment = {**clone.environ, "PATH": commands.search_path(*folders, environment=clone.environ)}
    return commands.attend([sys.executable, "-m", module, *arguments], environment=environment, directory=clone.root)


def _start_image_builders(stack: Stack) -> dict[str, subprocess.Popen[bytes]]:
    # Side by side with the tools, since each waits for its own network or compiler. They show their own progress.
    root = stack.clone.root
    kinds = [kind for kind in _IMAGES if (root / "images" / kind / "__main__.py").is_file()]
    host_kind = _host_kind(stack)
    if host_kind == "bareMetal":
        kinds.remove("machine")
    options = {"machine": ["--virtual"]} if host_kind == "libvirtVm" else {}
    return {
        kind: subprocess.Popen(
            [sys.executable, "-m", f"images.{kind}", *options.get(kind, [])],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for kind in kinds
    }


def _offer_kubectl(clone: Clone) -> None:
    try:
        kubectls.find(clone.root)
    except SetupError as error:
        # The cluster does not need it: what speaks to it here is the Python client.
        progress.say(f"there is no kubectl on this machine and none can be built ({error})")


def _host_kind(stack: Stack) -> str:
    try:
        settings = yaml.safe_load(stack.settings.read_text()) or {}
    except yaml.YAMLError as error:
        raise SetupError(f"{stack.settings} is not YAML ({str(error).splitlines()[0]})", "mend it") from error
    return str((settings.get("config") or {}).get("keelson:hostKind", "machineContainer"))

"""`pulumi up` and `pulumi destroy` on one stack, and what must be put right before they can run.

A run may have been killed at any point. Pulumi's file backend then keeps a lock whose process is gone, and the state
keeps operations that never ended. Both are recognised here: every create of ours is idempotent and finds what it made
before by name, so an operation that never ended is forgotten and done again.
"""

import json
import os
import re
import select
from pathlib import Path
from typing import Any

from components.setup import commands, progress
from components.setup.clones import Stack
from components.setup.errors import SetupError

_SALT = re.compile(r"^encryptionsalt:[ \t]*(?P<salt>\S+)[ \t]*\n?", re.MULTILINE)


def ensure(stack: Stack, engine: Path) -> None:
    """Make the Pulumi stack if its backend does not have it yet."""
    checkpoint = stack.checkpoint
    if checkpoint is not None and checkpoint.is_file():
        return
    tidy_settings(stack)
    environment = stack.environment(engine)
    directory = stack.clone.root
    listed = json.loads(
        commands.capture([engine / "pulumi", "stack", "ls", "--json"], environment=environment, directory=directory)
    )
    if any(item["name"] == stack.name for item in listed):
        return
    commands.capture(
        [engine / "pulumi", "stack", "init", stack.name, "--no-select", "--non-interactive"],
        environment=environment,
        directory=directory,
    )
    tidy_settings(stack)


def recover(stack: Stack, engine: Path) -> None:
    """Put right what a killed run left in the backend: its lock, and operations that never ended.

    A run that is still alive is waited for, since its operations may be changing hosts.
    """
    if stack.locks:
        for lock in stack.locks:
            await_holder(lock)
    _drop_torn_attributes(stack)
    if stack.locks:
        progress.say(f"an earlier run on {stack.name} was killed; removing its lock")
        commands.capture(
            [engine / "pulumi", "cancel", "--yes", "--stack", stack.name],
            environment=stack.environment(engine),
            directory=stack.clone.root,
        )
    checkpoint = stack.checkpoint
    # The file is looked at first because an export takes a second, and seldom is there anything to do.
    if checkpoint is not None and not _pending(json.loads(checkpoint.read_text()).get("checkpoint", {}).get("latest")):
        return
    exported = _export(stack, engine)
    pending = _pending(exported.get("deployment"))
    if not pending:
        return
    names = ", ".join(str(operation["resource"]["urn"]).rsplit("::", 1)[-1] for operation in pending)
    progress.say(f"an earlier run on {stack.name} was killed; it is done again: {names}")
    del exported["deployment"]["pending_operations"]
    commands.capture(
        [engine / "pulumi", "stack", "import", "--force", "--stack", stack.name],
        environment=stack.environment(engine),
        directory=stack.clone.root,
        stdin=json.dumps(exported),
    )


def up(stack: Stack, engine: Path) -> int:
    """Run `pulumi up` with a refresh before it, on the operator's terminal; return its exit status."""
    return _operate(stack, engine, "up", "--refresh")


def destroy(stack: Stack, engine: Path) -> int:
    """Run `pulumi destroy` and forget the stack if it succeeds; return the exit status."""
    status = _operate(stack, engine, "destroy")
    if status == 0:
        commands.capture(
            [engine / "pulumi", "stack", "rm", "--yes", "--preserve-config", "--stack", stack.name],
            environment=stack.environment(engine),
            directory=stack.clone.root,
        )
    return status


def exists(stack: Stack) -> bool:
    """Tell whether there may be state of this stack; only a file backend can say no without being asked."""
    checkpoint = stack.checkpoint
    return checkpoint is None or checkpoint.is_file()


def outputs(stack: Stack, engine: Path) -> dict[str, Any]:
    """Return the stack's outputs, secrets included, as Pulumi last recorded them.

    They are kept beside the stack, mode 0600, and asked for again once the state is newer. Empty if it never came up
    whole; raises SetupError if it was never begun.
    """
    checkpoint = stack.checkpoint
    kept = stack.place / "outputs.json"
    if checkpoint is not None and not checkpoint.is_file():
        raise SetupError(f"{stack.name} is not up", f"run: make up ENV={stack.name}")
    if checkpoint is not None and kept.is_file() and kept.stat().st_mtime_ns > checkpoint.stat().st_mtime_ns:
        text = kept.read_text()
    else:
        text = commands.capture(
            [engine / "pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack.name],
            environment=stack.environment(engine),
            directory=stack.clone.root,
        )
        write_private(kept, text)
    answer = json.loads(text)
    if not isinstance(answer, dict):
        raise SetupError(f"the outputs of {stack.name} are no object", f"run: make up ENV={stack.name}")
    return answer


def recorded_hosts(stack: Stack, engine: Path) -> list[dict[str, Any]]:
    """Return the hosts that the state tells of, in the words of the output `hosts`, control plane first.

    For a stack that never came up whole, and so has no outputs: what was made can be listed, entered and looked at.
    Until its convergence began, a host has no roles.
    """
    resources = (_export(stack, engine)["deployment"].get("resources") or []) if exists(stack) else []
    # A convergence knows its host too, by its inputs; those that made or adopted a host have it as an output.
    made = [values["host"] for values in (resource.get("outputs") or {} for resource in resources) if "host" in values]
    hosts = {host["name"]: host for host in made if isinstance(host, dict) and "private_key_path" in host}
    roles: dict[str, list[str]] = {
        resource["inputs"]["host"]["name"]: resource["inputs"]["roles"]
        for resource in resources
        if resource["type"] == "keelson:index:Convergence"
    }
    described = [{**host, "roles": roles.get(name, [])} for name, host in hosts.items()]
    return sorted(described, key=lambda host: ("kube_apiserver" not in host["roles"], host["name"]))


def resource_inputs(stack: Stack, engine: Path, kind: str) -> dict[str, Any]:
    """Return the inputs, secrets in clear, of the stack's one resource of type `kind`; raise SetupError without it."""
    if exists(stack):
        for resource in _export(stack, engine, "--show-secrets")["deployment"].get("resources") or []:
            if resource["type"] == kind:
                return dict(_plain(resource["inputs"]))
    raise SetupError(f"{stack.name} never came up whole", f"run: make up ENV={stack.name}")


def write_private(file: Path, text: str) -> None:
    """Put `text` into `file`, mode 0600, whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    partial.rename(file)


def await_holder(lock: Path) -> None:
    """Wait for the end of the Pulumi process that holds a lock. Raises SetupError if it runs on another machine."""
    try:
        holder = json.loads(lock.read_text())
    except FileNotFoundError:
        return
    pid, host = int(holder["pid"]), str(holder["hostname"])
    if host != os.uname().nodename:
        raise SetupError(f"a run on {host} holds the stack's lock", "wait for it, or run `pulumi cancel` if it is gone")
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The number may be another process's by now.
        if not _is_pulumi(pid):
            return
        progress.say(f"another run (pid {pid}) works on this stack; waiting for it")
        with progress.heartbeat(f"waiting for pid {pid}"):
            select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def tidy_settings(stack: Stack) -> None:
    """Take Pulumi's passphrase salt out of the stack's settings, where it only makes the clone differ from its origin.

    The state holds the same salt, and Pulumi is told to look there. A salt without state is another clone's, and no
    passphrase of this one fits it. It stays where the state has another, and where settings hold secrets encrypted
    with it.
    """
    checkpoint = stack.checkpoint
    text = stack.settings.read_text()
    match = _SALT.search(text)
    if checkpoint is None or match is None or re.search(r"^\s*-?\s*secure:", text, re.MULTILINE):
        return
    latest = None
    if checkpoint.is_file():
        latest = json.loads(checkpoint.read_text()).get("checkpoint", {}).get("latest")
    if latest is None or latest.get("secrets_providers", {}).get("state", {}).get("salt") == match["salt"]:
        partial = stack.settings.with_name(f".{stack.settings.name}.{os.getpid()}")
        partial.write_text(_SALT.sub("", text))
        partial.rename(stack.settings)


def _operate(stack: Stack, engine: Path, *verb: str) -> int:
    status = commands.attend(
        [engine / "pulumi", *verb, "--yes", "--skip-preview", "--stack", stack.name],
        environment=stack.environment(engine),
        directory=stack.clone.root,
    )
    tidy_settings(stack)
    return status


def _export(stack: Stack, engine: Path, *options: str) -> dict[str, Any]:
    text = commands.capture(
        [engine / "pulumi", "stack", "export", "--stack", stack.name, *options],
        environment=stack.environment(engine),
        directory=stack.clone.root,
    )
    exported: dict[str, Any] = json.loads(text)
    return exported


def _plain(value: Any) -> Any:
    # Exported secrets are objects with their JSON text in `plaintext`.
    if isinstance(value, dict):
        if "plaintext" in value:
            return _plain(json.loads(value["plaintext"]))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _drop_torn_attributes(stack: Stack) -> None:
    """Remove what a killed run left half written of the state's and locks' attributes.

    The backend replaces each file as a whole, but writes the attributes beside it in place (gocloud.dev, fileblob), and
    then refuses to read the file. Without attributes it does read it.
    """
    for file in (*([stack.checkpoint] if stack.checkpoint is not None else []), *stack.locks):
        attributes = file.with_name(f"{file.name}.attrs")
        try:
            json.loads(attributes.read_text())
        except FileNotFoundError:
            continue
        except ValueError:
            progress.say(
                f"an earlier run on {stack.name} was killed as it wrote {file.name}; its attributes are dropped"
            )
            attributes.unlink()


def _pending(deployment: dict[str, Any] | None) -> list[dict[str, Any]]:
    return list((deployment or {}).get("pending_operations") or [])


def _is_pulumi(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi"
    except FileNotFoundError:
        return False

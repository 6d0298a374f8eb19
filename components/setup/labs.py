"""The hosts of a stack that is up, as the operator uses them: listed, entered, switched off and on, verified."""

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.hosts import machine_containers, networks
from components.hosts.labs import Lab
from components.setup import progress, updates
from components.setup.clones import Stack
from components.setup.errors import SetupError


@dataclass(frozen=True)
class Host:
    """What the stack's output `hosts` says of one host. `host_key` is the public key that SSH must be shown."""

    name: str
    address: str
    user: str
    port: int
    host_key: str
    private_key_path: str
    roles: tuple[str, ...]

    @staticmethod
    def from_output(value: dict[str, Any]) -> "Host":
        """Read one element of the output; raises SetupError if the program that wrote it was another version's."""
        try:
            return Host(
                name=value["name"],
                address=value["address"],
                user=value["user"],
                port=int(value["port"]),
                host_key=value["host_key"],
                private_key_path=value["private_key_path"],
                roles=tuple(value["roles"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SetupError(f"the output `hosts` lacks {error}", "run `make up` with this version") from error


def hosts(outputs: dict[str, Any]) -> list[Host]:
    """Return the hosts in the order of the output: control plane first. Raises SetupError if there are none."""
    if not outputs["hosts"]:
        raise SetupError("the stack has no hosts", "run `make up` again")
    return [Host.from_output(value) for value in outputs["hosts"]]


def find(outputs: dict[str, Any], name: str) -> Host:
    """Return the host called `name`; raises SetupError naming those there are."""
    known = hosts(outputs)
    for host in known:
        if host.name == name:
            return host
    raise SetupError(
        f"there is no host {name}" if name else "no host was named", "HOST=" + " or ".join(host.name for host in known)
    )


def table(outputs: dict[str, Any]) -> str:
    """Return one line a host: name, address, roles."""
    rows = [(host.name, host.address, ",".join(host.roles)) for host in hosts(outputs)]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "".join(f"{name:<{widths[0]}}  {address:<{widths[1]}}  {roles}\n" for name, address, roles in rows)


def known_hosts(stack: Stack, outputs: dict[str, Any]) -> Path:
    """Write and return the file that pins every host's SSH key (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    lines = []
    for host in hosts(outputs):
        place = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
        lines.append(f"{place} {' '.join(host.host_key.split()[:2])}\n")
    file = stack.place / "known_hosts"
    updates.write_private(file, "".join(lines))
    return file


def ssh(stack: Stack, outputs: dict[str, Any], name: str, command: str) -> list[str]:
    """Return the ssh command line for a shell, or for `command` if it is not empty, on the host called `name`."""
    host = find(outputs, name)
    options = {
        "UserKnownHostsFile": str(known_hosts(stack, outputs)),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": host.private_key_path,
        "ConnectTimeout": "10",
        "LogLevel": "ERROR",
    }
    flags = [word for key, value in options.items() for word in ("-o", f'{key}="{value}"')]
    target = ["-p", str(host.port), f"{host.user}@{host.address}"]
    return ["ssh", "-F", "none", *flags, *target, *([command] if command else [])]


def kubeconfig(stack: Stack, outputs: dict[str, Any]) -> Path:
    """Write the administrator's kubeconfig of the stack, mode 0600, and return its path."""
    if "kubeconfig" not in outputs:
        raise SetupError(f"{stack.name} has no output `kubeconfig`", f"run: make up ENV={stack.name}")
    file = stack.place / "kubeconfig"
    value = outputs["kubeconfig"]
    updates.write_private(file, value if isinstance(value, str) else json.dumps(value))
    return file


def power(stack: Stack, name: str, state: str) -> None:
    """Pull the plug of a machine container, or start it; raises SetupError for other hosts and other states."""
    lab = _lab(stack)
    names = machine_containers.names(lab)
    if name not in names:
        raise SetupError(
            f"{name or 'no host'} is no machine container of {stack.name}",
            "HOST=" + " or ".join(names) if names else "switch machines of other kinds by their own means",
        )
    match state:
        case "off":
            machine_containers.power_off(lab, name)
        case "on":
            with progress.heartbeat(f"starting {name}"):
                machine_containers.power_on(lab, name)
        case _:
            raise SetupError(f"{state or 'nothing'} is no state of power", "STATE=on or STATE=off")
    progress.say(f"{name} is {state}")


def remove_hosts(stack: Stack, *, but: Collection[str] = ()) -> None:
    """Remove the lab's hosts except those named."""
    lab = _lab(stack)
    left = [name for name in machine_containers.names(lab) if name not in but]
    if left:
        progress.say(f"removing what a killed run left: {', '.join(left)}")
    for name in left:
        machine_containers.delete(lab, name)


def clear(stack: Stack) -> None:
    """Remove what the stack's lab still has on this machine; nothing there is no error."""
    remove_hosts(stack)
    networks.delete(_lab(stack))


def _lab(stack: Stack) -> Lab:
    return Lab(clone=stack.clone.root, stack=stack.name)


def enter(arguments: list[str]) -> int:
    """Become the ssh process, so that its terminal and its exit status are the operator's."""
    os.execvp(arguments[0], arguments)  # noqa: S606 - no shell is meant: each word is one argument

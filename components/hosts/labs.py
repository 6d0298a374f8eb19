"""A lab: everything that one stack of one clone has on the operator's machine, and the names it has there.

Two clones, or two stacks of a clone, may run side by side, so every name outside the clone carries the lab's identity:
six digits of the clone's path, and the stack.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from components.hosts.errors import HostError

# A stack's name becomes part of host names (RFC 1123 labels), of a network namespace and of file names.
_STACK = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def clone_id(clone: Path) -> str:
    """Return the six hexadecimal digits that stand for the clone at this path."""
    return hashlib.sha256(str(clone.resolve()).encode()).hexdigest()[:6]


@dataclass(frozen=True, kw_only=True)
class Lab:
    """One stack of the clone at `clone`; raises HostError for a stack name that no host name could contain."""

    clone: Path
    stack: str

    def __post_init__(self) -> None:
        if not _STACK.fullmatch(self.stack):
            raise HostError(f"stack name {self.stack!r} cannot be part of a host name", "use a-z, 0-9 and -")
        object.__setattr__(self, "clone", self.clone.resolve())

    @property
    def id(self) -> str:
        """The lab's name outside the clone, `<clone id>-<stack>`."""
        return f"{clone_id(self.clone)}-{self.stack}"

    @property
    def namespace(self) -> str:
        """The network namespace that holds the lab's bridge."""
        return f"keelson-{self.id}"

    @property
    def link(self) -> str:
        """The operator's end of the veth pair into the lab: hashed, as an interface name has at most 15 characters."""
        return "ks" + hashlib.sha256(self.id.encode()).hexdigest()[:10]

    @property
    def alias(self) -> str:
        """What the operator's link carries as its alias, so that a lab can be traced to a clone that is gone."""
        return f"keelson {self.stack} {self.clone}"

    @property
    def directory(self) -> Path:
        """The lab's state in its clone."""
        return self.clone / ".state" / "labs" / self.stack

    @property
    def hosts_directory(self) -> Path:
        """One folder for each host."""
        return self.directory / "hosts"

    def machine(self, host: str) -> str:
        """Return the name of a host's container, unique on the operator's machine."""
        return f"{self.namespace}-{host}"

    def make_directory(self) -> None:
        """Make the lab's folder, closed to other users: it holds private keys."""
        state = self.clone / ".state"
        for folder in (state, state / "labs", self.directory, self.hosts_directory):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)

"""What all kinds of host have in common, so that convergence never asks which kind it has before it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Enforcement:
    """What the host's kernel and privileges can enforce. What they cannot, roles switch off by name and say so.

    `cgroup_controllers`: those of cgroup v2 that reach the host, e.g. cpu, memory, pids: without them resource limits
    of pods hold for scheduling only. `oom_score`: whether processes may lower their oom_score_adj (CAP_SYS_RESOURCE,
    proc(5)), as containerd does for pods of high QoS.
    """

    cgroup_controllers: tuple[str, ...]
    oom_score: bool


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine that answers SSH.

    `host_key` is its pinned public key as in known_hosts(5), type and base64, without a name; `private_key_path` is the
    operator's key; `architecture` is Debian's word (amd64, arm64).
    """

    name: str
    address: str
    host_key: str
    private_key_path: str
    architecture: str
    enforces: Enforcement
    user: str = "root"
    port: int = 22

    def known_hosts_line(self) -> str:
        """Return the line for known_hosts(5) that pins this host."""
        place = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        return f"{place} {self.host_key}\n"

    def as_properties(self) -> dict[str, Any]:
        """Return the host as plain values, as resource properties and role variables want it."""
        properties = asdict(self)
        properties["enforces"]["cgroup_controllers"] = list(self.enforces.cgroup_controllers)
        return properties


def from_properties(properties: dict[str, Any]) -> Host:
    """Return the host that `Host.as_properties` described."""
    enforces = properties["enforces"]
    return Host(
        **{
            **properties,
            "port": int(properties["port"]),
            "enforces": Enforcement(
                cgroup_controllers=tuple(enforces["cgroup_controllers"]), oom_score=enforces["oom_score"]
            ),
        }
    )

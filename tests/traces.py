"""What an operator's machine has of a lab, as words that a failed assertion shows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from components.hosts import cgroups
from components.hosts.labs import Lab


def of(lab: Lab) -> list[str]:
    """Return everything that is there of the lab: processes, mounts, namespaces, links, cgroups, state."""
    place = str(lab.directory)
    found = [str(lab.directory)] if lab.directory.exists() else []
    found += [str(path) for path in Path("/run/netns").glob(f"*{lab.id}*")]
    found += [str(path) for path in cgroups.mount_point().glob(f"keelson*/*{lab.id}*")]
    links = json.loads(_output("ip", "-json", "link", "show"))
    found += [link["ifname"] for link in links if link["ifname"] == lab.link or link.get("ifalias") == lab.alias]
    for process in Path("/proc").glob("[0-9]*"):
        command = _content(process / "cmdline").replace("\0", " ")
        if lab.namespace in command or place in command:
            found.append(f"process {process.name}: {command}")
        mounts = [
            line for line in _content(process / "mountinfo").splitlines() if place in line or lab.namespace in line
        ]
        found += [f"mount of process {process.name}: {line}" for line in mounts]
    return found


def firewall() -> list[str]:
    """Return the lines of the rules of the operator's own network namespace, without counters."""
    return _output("nft", "--stateless", "list", "ruleset").splitlines()


def _output(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


def _content(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        # It ended meanwhile.
        return ""

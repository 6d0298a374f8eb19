"""Machines that exist before their stack does: when one may be adopted, and what is remembered to let it go.

A machine is adopted by being looked at. Nothing is written before every machine of the stack was found fit, and what
was there before, which the stack's state keeps, is there again after the release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from components.hosts import surveys

_ANOTHER_CLUSTERS: Final = ("/etc/kubernetes", "/var/lib/etcd", "/var/lib/kubelet")
"""Directories whose content belongs to a cluster: to converge over it would be to destroy that one."""


def reasons(survey: Mapping[str, Any], name: str) -> list[str]:
    """Return why the surveyed machine cannot be adopted as host `name`, each a clause that follows that name."""
    found = surveys.unfit(survey, name)
    if survey["roles"]:
        roles = ", ".join(survey["roles"])
        # All that is looked at below would be found because of it.
        return [*found, f"is a host of a Keelson cluster already (it has {roles}): destroy that stack first"]
    full = [path for path in _ANOTHER_CLUSTERS if survey["contents"][path]]
    if full:
        found.append(f"has another cluster's files in {', '.join(full)}: empty it first")
    found += [f"something listens on port {port} already, which a daemon of ours needs" for port in survey["ports"]]
    return found


def before(survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the release needs to know of the machine as it was."""
    return {key: survey[key] for key in ("contents", "units", "accounts")}

"""What labs left on the operator's machine that no record accounts for.

It comes of kill -9 at the wrong moment, or of a clone that was deleted by hand while its lab was up. A host or network
with its record in the clone is none of it: it may be off or incomplete, and `create` and `ensure` mend it.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.hosts import cgroups, networks
from components.hosts.labs import Lab, clone_id
from components.setup import caches, commands

_NAMESPACES = Path("/run/netns")


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing to be removed. `what` names it for the operator; of the others those are set that it consists of."""

    what: str
    cgroup: Path | None = None
    folder: Path | None = None
    namespace: str = ""
    link: str = ""


def find(clone: Path) -> list[Leftover]:
    """Return what this clone's labs, and labs of clones that are gone, left behind; processes first."""
    clone = clone.resolve()
    found = [*_processes(clone), *_folders(clone), *_links(clone), *_namespaces(clone)]
    return list(dict.fromkeys(found))


def clear(leftover: Leftover) -> None:
    """Remove it; raises SetupError if the machine refuses."""
    if leftover.cgroup is not None and leftover.cgroup.exists():
        cgroups.kill(leftover.cgroup)
        # The service manager removes the cgroup of its unit itself.
        if leftover.cgroup.exists() and leftover.cgroup.suffix != ".service":
            cgroups.remove(leftover.cgroup)
    if leftover.folder is not None:
        name = leftover.folder.name.removeprefix(".").removesuffix(".discarded")
        # Under the host's lock, as it may be in the making just now.
        with caches.locked(leftover.folder.parent / f".{name}.lock", f"host {name}"):
            finished = (leftover.folder / "host.json").exists() and leftover.folder.suffix != ".discarded"
            if leftover.folder.exists() and not finished:
                shutil.rmtree(leftover.folder)
    if leftover.namespace or leftover.link:
        networks.clear(leftover.namespace, leftover.link)


def _labs(clone: Path) -> list[Lab]:
    return [Lab(clone=clone, stack=path.name) for path in sorted((clone / ".state" / "labs").glob("*/"))]


def _processes(clone: Path) -> Iterator[Leftover]:
    root = cgroups.mount_point()
    identity = clone_id(clone)
    candidates = [
        *(root / "keelson").glob(f"{identity}-*/*/"),
        *(root / "keelson.slice").glob(f"keelson-{identity}-*.service/"),
    ]
    # After the candidates: a host is recorded before it runs, so one that starts meanwhile is in both.
    known = {
        path
        for lab in _labs(clone)
        for record in lab.hosts_directory.glob("*/host.json")
        for path in (
            root / "keelson" / lab.id / record.parent.name,
            root / "keelson.slice" / f"{lab.machine(record.parent.name)}.service",
        )
    }
    for path in sorted(candidates):
        if path not in known:
            yield Leftover(what=f"processes of {path.parent.name}/{path.name}", cgroup=path)


def _folders(clone: Path) -> Iterator[Leftover]:
    for lab in _labs(clone):
        for path in sorted(lab.hosts_directory.glob("*/")):
            if path.name.endswith(".discarded") or not (path / "host.json").exists():
                yield Leftover(what=f"unfinished folder {path.name} of lab {lab.stack}", folder=path)


def _links(clone: Path) -> Iterator[Leftover]:
    root = cgroups.mount_point()
    for link in json.loads(commands.capture(["ip", "-json", "link", "show", "type", "veth"]) or "[]"):
        words = link.get("ifalias", "").split(" ", 2)
        if len(words) != 3 or words[0] != "keelson":
            continue
        lab = Lab(clone=Path(words[2]), stack=words[1])
        if lab.link != link["ifname"]:
            continue
        if not lab.clone.exists():
            for path in sorted((root / "keelson" / lab.id).glob("*/")):
                yield Leftover(what=f"processes of {lab.id}/{path.name}, whose clone is gone", cgroup=path)
            for path in sorted((root / "keelson.slice").glob(f"{lab.namespace}-*.service/")):
                yield Leftover(what=f"processes of {path.name}, whose clone is gone", cgroup=path)
        elif lab.clone != clone or (lab.directory / "network.json").exists():
            continue
        yield Leftover(what=f"network of lab {lab.id}", namespace=lab.namespace, link=lab.link)


def _namespaces(clone: Path) -> Iterator[Leftover]:
    prefix = f"keelson-{clone_id(clone)}-"
    for path in sorted(_NAMESPACES.glob(f"{prefix}*")):
        lab = Lab(clone=clone, stack=path.name.removeprefix(prefix))
        if not (lab.directory / "network.json").exists():
            yield Leftover(what=f"network of lab {lab.id}", namespace=lab.namespace, link=lab.link)

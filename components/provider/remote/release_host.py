"""Runs on an adopted machine whose roles were released: removes what daemons made and puts back what was before.

The argument is what the survey found before the adoption: which directories had content, which units ran, which
accounts were there. What is named in it stays. Every step finds by itself what is left to do, so that a release that
was cut off is completed by the next.
"""

import json
import pathlib
import pwd
import shutil
import subprocess
import sys
from typing import Any

ROUTE_PROTOCOL = "75"  # the pod network's own, see rtnetlink(7), rtm_protocol
TABLES = ("kube-proxy", "keelson-pod-network")
NETWORK_NAMESPACES = pathlib.Path("/run/netns")
OURS_AMONG_OTHERS = ("/etc/cni/net.d/10-keelson.conflist",)
# Left by daemons, and gone with the next boot anyway.
VOLATILE = ("/run/containerd/io.containerd.grpc.v1.cri", "/run/keelson")


def run(*command: str) -> None:
    """Run a command that must succeed; its complaint is the last line that the operator is shown."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


def mounts_below(path: str) -> list[str]:
    """The mount points strictly below a directory, innermost first (proc_pid_mountinfo(5))."""
    points = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = [point.encode().decode("unicode_escape").encode("latin-1").decode() for point in points]
    return sorted((point for point in decoded if point.startswith(f"{path}/")), key=len, reverse=True)


def clear(path: str, *, remove: bool) -> None:
    """Empty a directory, and with `remove` take it away, unless it is itself a mount point of the machine's owner."""
    place = pathlib.Path(path)
    for point in mounts_below(path):
        run("umount", "--", point)
    if not place.is_dir():
        return
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if remove and not place.is_mount():
        place.rmdir()


def remove_rules() -> None:
    """Remove the tables of the daemons that are stopped, and their routes."""
    if shutil.which("nft") is not None:
        for family in ("ip", "ip6", "inet"):
            for table in TABLES:
                # `add` first, so that a table that is not there is no error (nft(8)).
                run("nft", f"add table {family} {table}; delete table {family} {table}")
    for family in ("-4", "-6"):
        run("ip", family, "route", "flush", "proto", ROUTE_PROTOCOL)


def remove_pod_networks() -> None:
    """Remove the network namespaces of pods, and first the links that lead into them.

    The kernel would remove the links by itself, but in its own time.
    """
    if not NETWORK_NAMESPACES.is_dir():
        return
    for entry in NETWORK_NAMESPACES.glob("cni-*"):
        listed = subprocess.run(
            ["ip", "-netns", entry.name, "-json", "link", "show", "type", "veth"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for link in json.loads(listed.stdout or "[]"):
            # `ip -json` writes an empty object for what it left out.
            if "ifname" in link:
                run("ip", "-netns", entry.name, "link", "delete", link["ifname"])
        run("ip", "netns", "delete", entry.name)


def remove_accounts(names: list[str]) -> None:
    """Remove the accounts that the role base made."""
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        run("userdel", name)


def restore(unit: str, before: dict[str, Any]) -> None:
    """Enable and start a unit that was so before."""
    if not before["there"]:
        return
    if before["enabled"]:
        run("systemctl", "enable", "--quiet", "--", unit)
    if before["active"]:
        run("systemctl", "start", "--", unit)


def main() -> None:
    """Clean up and put back."""
    argument = json.load(sys.stdin)
    before = argument["before"]
    remove_rules()
    remove_pod_networks()
    for path in VOLATILE:
        clear(path, remove=True)
    for path, had_content in before["contents"].items():
        if not had_content:
            clear(path, remove=had_content is None)
    for path in OURS_AMONG_OTHERS:
        pathlib.Path(path).unlink(missing_ok=True)
    remove_accounts([name for name in argument["accounts"] if name not in before["accounts"]])
    run("systemctl", "daemon-reload")
    run("systemctl", "reset-failed")
    for unit, state in before["units"].items():
        restore(unit, state)
    json.dump({}, sys.stdout)


main()

"""The host under the daemons: the release it runs, its names, its kernel, its secrets."""

import json
from typing import Any

import pytest

from tests.hosts.machines import Machine

ROLE = "base"


def test_release_is_whole(host: Any) -> None:
    """No file of the current release differs from what was built."""
    host.run_expect([0], "cd /opt/keelson/current && sha256sum --quiet --check files.sha256")


def test_release_is_the_one_meant(host: Any, machine: Machine) -> None:
    wanted = machine.variables.get("bundle_version")
    if not wanted:
        pytest.skip("the hosts file names no release")
    assert host.file("/opt/keelson/current").linked_to == f"/opt/keelson/{wanted}"


def test_hosts_know_each_other(host: Any, all_machines: list[Machine]) -> None:
    answers = host.check_output("getent ahostsv4 " + " ".join(each.name for each in all_machines)).splitlines()
    assert {line.split()[0] for line in answers} == {each.address for each in all_machines}


def test_forwards_packets(host: Any) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 1


def test_no_unit_has_failed(host: Any) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend --no-pager") == ""


def test_files_are_as_they_were_placed(host: Any) -> None:
    """What the manifests record is what is there, and no secret is open to others than its owner and its group."""
    manifests = json.JSONDecoder()
    text = host.check_output("cat /var/lib/keelson/manifest.d/*.json")
    files = []
    while text:
        manifest, end = manifests.raw_decode(text)
        files += manifest["files"]
        text = text[end:].lstrip()
    assert files
    digests = host.check_output("sha256sum " + " ".join(entry["path"] for entry in files)).splitlines()
    states = host.check_output("stat --format='%a %U %G' " + " ".join(e["path"] for e in files)).splitlines()
    for entry, digest, state in zip(files, digests, states, strict=True):
        mode, owner, group = state.split()
        found = (digest.split()[0], int(mode, 8), owner, group)
        assert found == (entry["sha256"], int(entry["mode"], 8), entry["owner"], entry["group"]), entry["path"]
        if entry["secret"]:
            assert not int(mode, 8) & 0o037, f"{entry['path']} is open to others"

"""Which machines are adopted, and what the ones that are not get told."""

from typing import Any

import pytest

from components.hosts import bare_metal, surveys


def survey(**seen: Any) -> dict[str, Any]:
    return {
        "host_name": "alpha",
        "architecture": "amd64",
        "python": [3, 13],
        "cgroup_controllers": ["cpu", "memory", "pids"],
        "oom_score": True,
        "packages": [],
        "kernel_modules": [],
        "contents": dict.fromkeys(surveys.DIRECTORIES),
        "units": {},
        "accounts": [],
        "ports": [],
        "roles": [],
        **seen,
    }


def test_a_fit_machine_gives_no_reason() -> None:
    assert bare_metal.reasons(survey(), "alpha") == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"host_name": "beta"}, "calls itself beta"),
        ({"python": [3, 11]}, "its python3 is 3.11"),
        ({"architecture": "armhf"}, "its architecture is armhf"),
        ({"ports": [6443]}, "something listens on port 6443"),
        ({"contents": {**dict.fromkeys(surveys.DIRECTORIES), "/var/lib/etcd": True}}, "files in /var/lib/etcd"),
    ],
)
def test_an_unfit_machine_gives_one_reason(seen: dict[str, Any], reason: str) -> None:
    (found,) = bare_metal.reasons(survey(**seen), "alpha")
    assert reason in found


def test_of_a_machine_of_another_stack_nothing_else_is_told() -> None:
    (found,) = bare_metal.reasons(survey(roles=["base", "kubelet"], ports=[10250]), "alpha")
    assert "it has base, kubelet" in found


def test_an_empty_directory_of_a_cluster_is_no_cluster() -> None:
    contents = {**dict.fromkeys(surveys.DIRECTORIES), "/etc/kubernetes": False}
    assert bare_metal.reasons(survey(contents=contents), "alpha") == []


def test_every_directory_that_betrays_a_cluster_is_asked_for() -> None:
    question = surveys.question("node", balanced=False)
    assert {"/etc/kubernetes", "/var/lib/etcd", "/var/lib/kubelet"} <= set(question["directories"])


def test_packages_follow_the_role() -> None:
    node = surveys.packages("node", balanced=True)
    assert "etcd-server" not in node
    assert {*node, "etcd-client", "etcd-server", "haproxy", "keepalived"} == set(
        surveys.packages("controlPlane", balanced=True)
    )
    assert "haproxy" not in surveys.packages("controlPlane", balanced=False)

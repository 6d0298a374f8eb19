"""What operators read and type about hosts: the table, the ssh command line, the names of hosts that are not."""

from pathlib import Path

import pytest

from components.setup import labs
from components.setup.clones import Clone, Stack
from components.setup.errors import SetupError


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").touch()
    return Clone(tmp_path, {"PATH": "/bin"}).stack("dev")


def host(name: str, address: str, port: int = 22, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "address": address,
        "user": "root",
        "port": float(port),
        "host_key": f"ssh-ed25519 AAAA{name} a comment",
        "private_key_path": "/keys/it's mine",
        "roles": ["base", "etcd"],
        **more,
    }


OUTPUTS = {"hosts": [host("dev-cp-1", "10.0.0.11"), host("dev-node-1", "10.0.0.131", 2222)]}


def test_the_table_has_one_line_a_host() -> None:
    assert labs.table(OUTPUTS) == "dev-cp-1    10.0.0.11   base,etcd\ndev-node-1  10.0.0.131  base,etcd\n"


def test_host_keys_are_pinned(stack: Stack) -> None:
    file = labs.known_hosts(stack, OUTPUTS)
    assert file.read_text() == "10.0.0.11 ssh-ed25519 AAAAdev-cp-1\n[10.0.0.131]:2222 ssh-ed25519 AAAAdev-node-1\n"


def test_ssh_asks_nothing_of_the_operators_own_configuration(stack: Stack) -> None:
    command = labs.ssh(stack, OUTPUTS, "dev-node-1", "echo $HOME")
    assert command[:3] == ["ssh", "-F", "none"]
    assert 'StrictHostKeyChecking="yes"' in command
    assert command[-4:] == ["-p", "2222", "root@10.0.0.131", "echo $HOME"]
    assert labs.ssh(stack, OUTPUTS, "dev-node-1", "")[-1] == "root@10.0.0.131"


def test_an_unknown_host_is_answered_with_those_there_are() -> None:
    with pytest.raises(SetupError, match="there is no host x: HOST=dev-cp-1 or dev-node-1"):
        labs.find(OUTPUTS, "x")
    with pytest.raises(SetupError, match="no host was named"):
        labs.find(OUTPUTS, "")


def test_an_output_of_another_version_is_named() -> None:
    with pytest.raises(SetupError, match="lacks 'host_key'"):
        labs.hosts({"hosts": [{key: value for key, value in host("a", "b").items() if key != "host_key"}]})


def test_power_of_a_host_that_is_no_machine_container(stack: Stack) -> None:
    with pytest.raises(SetupError, match="metal-1 is no machine container of dev"):
        labs.power(stack, "metal-1", "off")

"""A host survives the way through resource properties, where numbers may come back as floats."""

import json

from components.hosts.models import Enforcement, Host, from_properties

HOST = Host(
    name="dev-cp-1",
    address="10.1.2.3",
    host_key="ssh-ed25519 AAAA",
    private_key_path="/state/id",
    architecture="amd64",
    enforces=Enforcement(cgroup_controllers=("cpu", "memory"), oom_score=False),
)


def test_properties_round_trip_through_json() -> None:
    assert from_properties(json.loads(json.dumps(HOST.as_properties()))) == HOST


def test_numbers_may_come_back_as_floats() -> None:
    assert from_properties({**HOST.as_properties(), "port": 22.0}) == HOST


def test_known_hosts_names_a_port_only_if_it_is_not_the_usual_one() -> None:
    assert HOST.known_hosts_line() == "10.1.2.3 ssh-ed25519 AAAA\n"
    other = from_properties({**HOST.as_properties(), "port": 2222})
    assert other.known_hosts_line() == "[10.1.2.3]:2222 ssh-ed25519 AAAA\n"

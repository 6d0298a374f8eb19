"""Flags are read as upstream's daemons read them, and refused in one line that names the flag."""

import pytest

from keelson.component_base import flags


def _parser() -> flags.Parser:
    parser = flags.Parser("daemon", "A daemon.")
    parser.boolean("--profiling", True)
    parser.duration("--period", 10)
    parser.strings("--controllers", ("*",))
    parser.mapping("--node-labels")
    parser.address("--bind-address", "0.0.0.0")
    parser.network("--cluster-cidr")
    return parser


def test_values() -> None:
    options = _parser().parse_args(
        [
            "--profiling=false",
            "--period=1m30s",
            "--controllers=a,b",
            "--controllers=-c",
            "--node-labels=x=1,y=2",
            "--node-labels=z=",
            "--cluster-cidr=10.0.0.0/16,fd00::/64",
        ]
    )
    assert options.profiling is False
    assert options.period == 90
    assert options.controllers == ["a", "b", "-c"]
    assert options.node_labels == {"x": "1", "y": "2", "z": ""}
    assert options.cluster_cidr == "10.0.0.0/16,fd00::/64"


def test_a_bare_boolean_is_true() -> None:
    assert _parser().parse_args(["--profiling"]).profiling is True


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("--profiling=maybe", "--profiling"),
        ("--period=10", "--period"),
        ("--bind-address=300.1.1.1", "--bind-address"),
        ("--cluster-cidr=10.0.0.1/16", "--cluster-cidr"),
        ("--node-labels=novalue", "--node-labels"),
        ("--unknown=1", "--unknown"),
        ("--profil=false", "--profil"),
    ],
)
def test_refusals_name_the_flag(argument: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _parser().parse_args([argument])
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1

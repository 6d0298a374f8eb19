"""The commands between two states of a table: nothing for no change, and an order that nft accepts."""

from keelson.kube_proxy.decisions import rulesets
from keelson.kube_proxy.decisions.rulesets import Fragment, Ruleset


def _ruleset(*fragments: Fragment) -> Ruleset:
    base = Ruleset("ip", {"nat": "type nat hook output priority -100 ;"}, {"nat": ("jump x",)}, {"m": ("map", "…")})
    return rulesets.compose(base, fragments)


ONE = Fragment({"a": ("rule one",)}, {}, {("m", "1"): "goto a"})
CHANGED = Fragment({"a": ("rule two",)}, {}, {("m", "1"): "goto a"})
MOVED = Fragment({"b": ("rule one",)}, {"s": ("set", "…")}, {("m", "1"): "goto b"})


def test_no_change_is_no_transaction() -> None:
    assert rulesets.difference(_ruleset(ONE), _ruleset(ONE)) == ""


def test_a_changed_chain_is_one_flush() -> None:
    assert rulesets.difference(_ruleset(ONE), _ruleset(CHANGED)).splitlines() == [
        "flush chain ip kube-proxy a",
        "add rule ip kube-proxy a rule two",
    ]


def test_what_is_referred_to_comes_first_and_goes_last() -> None:
    assert rulesets.difference(_ruleset(ONE), _ruleset(MOVED)).splitlines() == [
        "add set ip kube-proxy s { … }",
        "add chain ip kube-proxy b",
        "delete element ip kube-proxy m { 1 : goto a }",
        "add rule ip kube-proxy b rule one",
        "add element ip kube-proxy m { 1 : goto b }",
        "flush chain ip kube-proxy a",
        "delete chain ip kube-proxy a",
    ]
    back = rulesets.difference(_ruleset(MOVED), _ruleset(ONE)).splitlines()
    assert back[-1] == "delete set ip kube-proxy s"


def test_a_new_table_replaces_the_old_one() -> None:
    lines = rulesets.difference(None, _ruleset(ONE)).splitlines()
    assert lines[:2] == ["add table ip kube-proxy", "delete table ip kube-proxy"]
    assert "add chain ip kube-proxy nat { type nat hook output priority -100 ; }" in lines


def test_the_first_claim_on_an_element_wins() -> None:
    """Two Services with one external address must not make a transaction that nft refuses."""
    assert _ruleset(ONE, MOVED).elements == {("m", "1"): "goto a"}

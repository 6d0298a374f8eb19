from __future__ import annotations

import pytest

from keelson.kube_apiserver.aggregation import identities
from keelson.kube_apiserver.registry.contexts import User


def test_a_user_is_told_in_a_front_proxys_headers() -> None:
    user = User("jané", ("a", "b"), "7", {"example.com/scope%": ("x", "y")})
    assert identities.of_user(user) == [
        ("X-Remote-User", "jané".encode().decode("latin-1")),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-example.com%2Fscope%25", "x"),
        ("X-Remote-Extra-example.com%2Fscope%25", "y"),
    ]


@pytest.mark.parametrize("name", ["a\r\nX-Remote-Group: system:masters", "a\n", "\x00", "\x7f"])
def test_a_name_can_not_begin_another_header(name: str) -> None:
    with pytest.raises(identities.HeaderError):
        identities.of_user(User(name))
    with pytest.raises(identities.HeaderError):
        identities.of_user(User("a", (name,)))

"""How this server tells an aggregated one who asks: the headers of a front proxy ("Authenticating Proxy"). Pure."""

from __future__ import annotations

from urllib.parse import quote

from keelson.kube_apiserver.registry.contexts import User

# Who the aggregator itself is, where it asks on nobody's behalf.
AGGREGATOR = User("system:kube-aggregator", ("system:masters",))
# Characters of a header's name (RFC 9110, "token") but the percent sign, which escapes the others.
_SAFE = "!#$&'*+-.^_`|~"


class HeaderError(Exception):
    """A name or group that no header can carry."""


def of_user(user: User) -> list[tuple[str, str]]:
    """The headers that name the user. Raises HeaderError where one would not be one line."""
    found = [("X-Remote-User", user.name)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    found += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        name = f"X-Remote-Extra-{quote(key, safe=_SAFE)}"
        found += [(name, value) for value in values]
    return [(name, _value(name, value)) for name, value in found]


def _value(name: str, value: str) -> str:
    """The value, one character a byte of its UTF-8, as connections write it."""
    if any((character < " " and character != "\t") or character == "\x7f" for character in value):
        raise HeaderError(f'invalid header field value for "{name}"')
    return value.encode().decode("latin-1")

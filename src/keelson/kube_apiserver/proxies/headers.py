"""Which headers of a request and of an answer a proxy passes on (RFC 9110, 7.6.1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

_HOP_BY_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
))  # fmt: skip
# Who asks was settled here; a pod that is proxied to must not learn with what (nor a kubelet hear other names).
_CREDENTIALS = ("authorization", "x-remote-", "impersonate-")
_BEARER = "base64url.bearer.authorization.k8s.io."
# Headers whose lines are joined on the way in, but which Go's servers want line by line.
_LINE_BY_LINE = frozenset({"x-stream-protocol-version"})
_UPGRADE_ANSWER = frozenset({"content-length", "transfer-encoding"})


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Whether the request asks for another protocol."""
    connection = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    return "upgrade" in connection and bool(headers.get("upgrade"))


def of_request(
    headers: Mapping[str, str], host: str, *, remote: str = "", withheld: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The headers to send on. `withheld` are further beginnings of names that carry the user's identity."""
    secret = (*_CREDENTIALS, *(prefix.lower() for prefix in withheld))
    named = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    found = [("Host", host)]
    for name, value in headers.items():
        if name in _HOP_BY_HOP or name in named or name.startswith(secret):
            continue
        if name in ("host", "content-length", "expect", "x-forwarded-for"):
            continue
        if name == "sec-websocket-protocol":
            # Clients that can't set headers pass their token as a subprotocol.
            value = ", ".join(p.strip() for p in value.split(",") if not p.strip().startswith(_BEARER))
        lines = [line.strip() for line in value.split(",")] if name in _LINE_BY_LINE else [value]
        found += [(name, line) for line in lines]
    if remote:
        before = headers.get("x-forwarded-for", "")
        found.append(("X-Forwarded-For", f"{before}, {remote}" if before else remote))
    if is_upgrade(headers):
        return [*found, ("Connection", "Upgrade"), ("Upgrade", headers["upgrade"])]
    return [*found, ("Connection", "close")]


def of_answer(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers to answer with: a proxied server may not speak for this server's origin (CORS)."""
    given = list(headers)
    named = {token.strip().lower() for key, value in given if key.lower() == "connection" for token in value.split(",")}
    left_out = _HOP_BY_HOP | named | {"date"}
    return [
        (name, value)
        for name, value in given
        if name.lower() not in left_out and not name.lower().startswith("access-control-")
    ]


def switching(headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of the answer 101 with these headers."""
    lines = [f"{name}: {value}\r\n" for name, value in headers if name.lower() not in _UPGRADE_ANSWER]
    return ("HTTP/1.1 101 Switching Protocols\r\n" + "".join(lines) + "\r\n").encode("latin-1")


def relocated(location: str, host: str, prefix: str) -> str:
    """A Location as the client must see it: what points at the proxied server goes through the proxy's path."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc != host:
        return location
    if not parts.netloc and not parts.path.startswith("/"):
        return location
    if parts.path.startswith(prefix.rstrip("/") + "/"):
        # It leads through the proxy already.
        return location
    path = prefix.rstrip("/") + (parts.path or "/")
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return f"{path}{query}{fragment}"

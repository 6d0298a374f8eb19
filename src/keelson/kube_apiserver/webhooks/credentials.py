"""Who the API server is to webhooks: the users of a kubeconfig, each named after the servers that it is for.

A user's name is a host and port, a host alone for port 443, either with "*" in place of its first labels, or "*" for
every server ("Authenticate API servers", Dynamic Admission Control). None fitting, the server comes without a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keelson.client import kubeconfigs
from keelson.client.kubeconfigs import ClientConfig, KubeconfigError
from keelson.component_base.configurations import ConfigurationError


class Credentials:
    """Users by name; `default` is for servers that no name fits."""

    def __init__(self, users: Mapping[str, ClientConfig], default: ClientConfig | None = None) -> None:
        self._users = users
        self._default = default

    @classmethod
    def load(cls, path: str) -> Credentials:
        """The credentials of a kubeconfig. Raises ConfigurationError."""
        try:
            users, current = kubeconfigs.users(path)
        except KubeconfigError as error:
            raise ConfigurationError(str(error)) from error
        return cls(users, users.get("*") or users.get(current))

    def of(self, target: str) -> ClientConfig | None:
        """Who to be towards "host:port" or, for port 443, "host"; None for nobody."""
        if not self._users:
            return None
        host, colon, port = target.rpartition(":")
        if not colon or not port.isdecimal():
            host, port = target, "443"
        for name in (*_names(f"{host}:{port}"), *(_names(host) if port == "443" else ())):
            if name in self._users:
                return self._users[name]
        return self._default


def _names(target: str) -> Iterator[str]:
    yield target
    labels = target.split(".")
    for start in range(1, len(labels)):
        yield "*." + ".".join(labels[start:])


ANONYMOUS = Credentials({})

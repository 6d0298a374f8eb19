"""A pod's name, its /etc/hosts and its resolv.conf.

Rules: "DNS for Services and Pods" (pod DNS policy and config, hostname and subdomain), "Adding entries to Pod
/etc/hosts", resolv.conf(5). Limits on servers and search domains are those of the DNS documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

_MAXIMUM_SERVERS = 3
_MAXIMUM_SEARCHES = 32
_MAXIMUM_SEARCH_CHARACTERS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """The content of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def render(self) -> str:
        """The file's text."""
        lines = []
        if self.searches:
            lines.append("search " + " ".join(self.searches))
        lines += [f"nameserver {server}" for server in self.servers]
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(f"{line}\n" for line in lines)


def parse_resolv_conf(text: str) -> Dns:
    """What a resolv.conf says; of several search lines the last counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if not words:
            continue
        keyword, values = words[0], words[1:]
        if keyword == "nameserver" and values:
            servers.append(values[0])
        elif keyword == "search":
            searches = [value if value == "." else value.rstrip(".") for value in values]
        elif keyword == "options":
            options += values
    return Dns(servers=tuple(servers), searches=tuple(searches), options=tuple(options))


def dns(pod: Object, host: Dns, *, cluster_dns: Sequence[str], cluster_domain: str) -> Dns:
    """The pod's resolv.conf. Without cluster DNS servers, ClusterFirst falls back to the host's."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        found = Dns()
    elif policy == "Default" or not cluster_dns:
        found = host
    else:
        domain = cluster_domain
        own = (f"{meta.namespace(pod)}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
        found = Dns(servers=tuple(cluster_dns), searches=(*own, *host.searches), options=("ndots:5",))
    extra = spec.get("dnsConfig") or {}
    options = {option.partition(":")[0]: option for option in found.options}
    for option in extra.get("options") or []:
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value not in {None, ""} else option["name"]
    return Dns(
        servers=_unique((*found.servers, *(extra.get("nameservers") or ())))[:_MAXIMUM_SERVERS],
        searches=_limited(_unique((*found.searches, *(extra.get("searches") or ())))),
        options=tuple(options.values()),
    )


def _unique(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _limited(searches: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    length = 0
    for search in searches[:_MAXIMUM_SEARCHES]:
        length += len(search) + bool(kept)
        if length > _MAXIMUM_SEARCH_CHARACTERS:
            break
        kept.append(search)
    return tuple(kept)


def hostname(pod: Object, *, cluster_domain: str) -> tuple[str, str]:
    """(host name, domain); the domain is "" where the pod has no subdomain."""
    spec = pod["spec"]
    if override := spec.get("hostnameOverride"):
        return str(override), ""
    name = (spec.get("hostname") or meta.name(pod))[:63].rstrip("-.")
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{meta.namespace(pod)}.svc.{cluster_domain}"
    return name, domain


def uts_hostname(pod: Object, *, cluster_domain: str) -> str:
    """What the sandbox's hostname is set to: the full name where setHostnameAsFQDN asks for it."""
    name, domain = hostname(pod, cluster_domain=cluster_domain)
    return f"{name}.{domain}" if pod["spec"].get("setHostnameAsFQDN") and domain else name


_LOOPBACK = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
fe00::\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def hosts(pod: Object, *, pod_ips: Sequence[str], host_file: str, cluster_domain: str) -> str:
    """The pod's /etc/hosts; `host_file` is the host's own, for pods in its network."""
    if pod["spec"].get("hostNetwork"):
        text = "# Kubernetes-managed hosts file (host network).\n" + host_file
    else:
        name, domain = hostname(pod, cluster_domain=cluster_domain)
        names = f"{name}.{domain}\t{name}" if domain else name
        text = "# Kubernetes-managed hosts file.\n" + _LOOPBACK + "".join(f"{ip}\t{names}\n" for ip in pod_ips)
    return text + _aliases(pod["spec"].get("hostAliases") or [])


def _aliases(aliases: Sequence[Mapping[str, Any]]) -> str:
    if not aliases:
        return ""
    lines = [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) for alias in aliases]
    return "\n# Entries added by HostAliases.\n" + "".join(f"{line}\n" for line in lines)

"""The syntax of names, labels, keys, ports and addresses.

Each check returns the complaint in upstream's words, or "" where there is none. What passed once is remembered, because
the same names come again and again. Sources: RFC 1123, RFC 1035, RFC 6335 (service names), the Kubernetes documentation
"Object Names and IDs", "Labels and Selectors", "Annotations".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"

_label_re = re.compile(_LABEL, re.ASCII)
_subdomain_re = re.compile(_SUBDOMAIN, re.ASCII)
_label_1035_re = re.compile(_LABEL_1035, re.ASCII)
_qualified_re = re.compile(_QUALIFIED, re.ASCII)
_label_value_re = re.compile(_LABEL_VALUE, re.ASCII)
_config_key_re = re.compile(_CONFIG_KEY, re.ASCII)
_port_name_re = re.compile(r"[-a-z0-9]+", re.ASCII)
_env_name_re = re.compile(r"[ -<>-~]+", re.ASCII)
_letter_re = re.compile(r"[a-z]", re.ASCII)

_ENDS = "must start and end with an alphanumeric character"


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


@lru_cache(maxsize=1024)
def dns_label(text: str) -> str:
    """RFC 1123 label."""
    if len(text) > LABEL_LENGTH:
        return _too_long(LABEL_LENGTH)
    if _label_re.fullmatch(text):
        return ""
    return (
        f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and {_ENDS} "
        f"(e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )


@lru_cache(maxsize=1024)
def dns_subdomain(text: str) -> str:
    """RFC 1123 subdomain: what most objects are named by."""
    if len(text) > SUBDOMAIN_LENGTH:
        return _too_long(SUBDOMAIN_LENGTH)
    if _subdomain_re.fullmatch(text):
        return ""
    return (
        f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and {_ENDS} "
        f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
    )


def dns_1035_label(text: str) -> str:
    """RFC 1035 label: names of Services."""
    if len(text) > LABEL_LENGTH:
        return _too_long(LABEL_LENGTH)
    if _label_1035_re.fullmatch(text):
        return ""
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        f"is '{_LABEL_1035}')"
    )


def path_segment(text: str) -> str:
    """What can stand in a URL path; RBAC names follow no other rule."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    for character in "/%":
        if character in text:
            return f"may not contain '{character}'"
    return ""


_QUALIFIED_HELP = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)


@lru_cache(maxsize=1024)
def qualified_name(text: str) -> str:
    """A label's or annotation's key: an optional DNS prefix and a name."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return (
            f"a valid label key {_QUALIFIED_HELP} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        )
    if slash and not prefix:
        return "prefix part must be non-empty"
    if prefix:
        complaint = dns_subdomain(prefix)
        if complaint:
            return f"prefix part {complaint}"
    if not name:
        return "name part must be non-empty"
    if len(name) > LABEL_LENGTH:
        return f"name part {_too_long(LABEL_LENGTH)}"
    return "" if _qualified_re.fullmatch(name) else f"name part {_QUALIFIED_HELP}"


@lru_cache(maxsize=1024)
def label_value(text: str) -> str:
    """A label's value."""
    if len(text) > LABEL_LENGTH:
        return _too_long(LABEL_LENGTH)
    if _label_value_re.fullmatch(text):
        return ""
    return (
        f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and {_ENDS} "
        f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_LABEL_VALUE}')"
    )


def config_key(text: str) -> str:
    """A key of a ConfigMap or Secret, which becomes a file's name."""
    if len(text) > SUBDOMAIN_LENGTH:
        return _too_long(SUBDOMAIN_LENGTH)
    if not _config_key_re.fullmatch(text):
        return (
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            f"'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
        )
    if text == ".":
        return "must not be '.'"
    return "must not start with '..'" if text.startswith("..") else ""


@lru_cache(maxsize=1024)
def env_name(text: str) -> str:
    """The name of an environment variable: any printable ASCII but "="."""
    if _env_name_re.fullmatch(text):
        return ""
    return "a valid environment variable name must consist only of printable ASCII characters other than '='"


@lru_cache(maxsize=1024)
def port_name(text: str) -> str:
    """RFC 6335 service name, as ports of containers have."""
    if len(text) > 15:
        return _too_long(15)
    if not _port_name_re.fullmatch(text):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not _letter_re.search(text):
        return "must contain at least one letter (a-z)"
    if "--" in text:
        return "must not contain consecutive hyphens"
    return "must not begin or end with a hyphen" if "-" in (text[0], text[-1]) else ""


def port_number(number: int) -> str:
    """A TCP, UDP or SCTP port."""
    return "" if 1 <= number <= 65535 else "must be between 1 and 65535, inclusive"


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return ""


def cidr(text: str) -> str:
    """A network in CIDR notation."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    return "" if "/" in text else "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def as_prefix(check: Callable[[str], str], text: str) -> str:
    """The same check for a generateName, whose suffix is yet to come: a trailing dash is fine."""
    return check(text[:-1] + "a" if text.endswith("-") else text)

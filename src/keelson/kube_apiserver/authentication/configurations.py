"""How JWT authenticators and anonymous requests are configured: AuthenticationConfiguration, or the --oidc-* flags."""

from __future__ import annotations

import argparse
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from keelson.component_base import configurations
from keelson.component_base.configurations import ConfigurationError, Fields

from .claims import Mappings, Rule, Source, compiled, reads_claim

_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
_MOST = 64
_KEY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One JWT authenticator: whose tokens, for which audiences, and what their claims mean."""

    url: str
    audiences: Sequence[str]
    mappings: Mappings
    discovery_url: str = ""
    authority: str = ""
    algorithms: Sequence[str] = ALGORITHMS


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Whether requests without credentials are served, and for which paths ("" for all)."""

    enabled: bool
    paths: frozenset[str] = frozenset()

    def allows(self, path: str) -> bool:
        """Whether a request for the path may be anonymous."""
        return self.enabled and (not self.paths or path in self.paths)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file. `anonymous` is None where it says nothing of it."""

    issuers: Sequence[Issuer] = ()
    anonymous: Anonymous | None = None


def load(path: str, own_issuers: Sequence[str]) -> Configuration:
    """The AuthenticationConfiguration of a file. Raises ConfigurationError.

    `own_issuers` are those of service-account tokens, which nobody else may be.
    """
    document = configurations.load(path, kind="AuthenticationConfiguration", api_versions=_VERSIONS)
    fields = Fields(path, document)
    entries = fields.get("jwt", list, [])
    anonymous = _anonymous(path, fields.get("anonymous", dict, None))
    fields.close()
    if len(entries) > _MOST:
        raise ConfigurationError(f"{path}: jwt: Too many: {len(entries)}: must have at most {_MOST} items")
    issuers: list[Issuer] = []
    for index, entry in enumerate(entries):
        where = f"{path}: jwt[{index}]"
        issuer = _issuer(where, entry, own_issuers)
        if any(issuer.url == other.url for other in issuers):
            raise ConfigurationError(f'{where}.issuer.url: Duplicate value: "{issuer.url}"')
        if issuer.discovery_url and any(issuer.discovery_url == other.discovery_url for other in issuers):
            raise ConfigurationError(f'{where}.issuer.discoveryURL: Duplicate value: "{issuer.discovery_url}"')
        issuers.append(issuer)
    return Configuration(issuers, anonymous)


def _anonymous(path: str, entry: Mapping[str, Any] | None) -> Anonymous | None:
    if entry is None:
        return None
    fields = Fields(f"{path}: anonymous", entry)
    enabled = fields.get("enabled", bool, False)
    paths = []
    for index, condition in enumerate(fields.get("conditions", list, [])):
        inner = Fields(f"{path}: anonymous.conditions[{index}]", condition)
        paths.append(inner.get("path", str, ""))
        inner.close()
    fields.close()
    if paths and not enabled:
        raise ConfigurationError(
            f"{path}: anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined"
        )
    return Anonymous(enabled, frozenset(paths))


def _issuer(where: str, entry: Any, own_issuers: Sequence[str]) -> Issuer:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: want a mapping")
    fields = Fields(where, entry)
    issuer = fields.child("issuer")
    place = f"{where}.issuer"
    url, discovery = issuer.get("url", str, ""), issuer.get("discoveryURL", str, "")
    audiences = issuer.get("audiences", list, [])
    policy, authority = issuer.get("audienceMatchPolicy", str, ""), issuer.get("certificateAuthority", str, "")
    if issuer.get("egressSelectorType", str, ""):
        raise ConfigurationError(f"{place}.egressSelectorType: egress selectors are not supported")
    _check_url(f"{place}.url", url)
    if url in own_issuers:
        raise ConfigurationError(
            f'{place}.url: Invalid value: "{url}": URL must not overlap with disallowed issuers: {list(own_issuers)}'
        )
    if discovery:
        _check_url(f"{place}.discoveryURL", discovery)
        if discovery.rstrip("/") == url.rstrip("/"):
            raise ConfigurationError(f"{place}.discoveryURL: Invalid value: discoveryURL must be different from URL")
    _check_audiences(place, audiences, policy)
    check_authority(f"{place}.certificateAuthority", authority)
    rules, required = _claim_rules(where, fields.get("claimValidationRules", list, []))
    mappings = fields.child("claimMappings")
    username = _source(f"{where}.claimMappings.username", mappings.child("username"), ("string",), needed=True)
    groups = _source(f"{where}.claimMappings.groups", mappings.child("groups"), ("string", "list", "null"))
    uid = _source(f"{where}.claimMappings.uid", mappings.child("uid"), ("string",), prefixed=False)
    extra = _extra(f"{where}.claimMappings.extra", mappings.get("extra", list, []))
    user_rules = []
    for index, rule in enumerate(fields.get("userValidationRules", list, [])):
        user_rules.append(_rule(f"{where}.userValidationRules[{index}]", rule, of_user=True))
    fields.close()
    _check_email(where, username, [*rules, *(Rule(program) for _, program in extra)])
    made = Mappings(username, groups, uid, extra, required, rules, user_rules)
    return Issuer(url, tuple(audiences), made, discovery, authority)


def _check_url(where: str, url: str) -> None:
    if not url:
        raise ConfigurationError(f"{where}: Required value")
    parts = urlsplit(url)
    for wrong, why in (
        (parts.scheme != "https", "URL scheme must be https"),
        (parts.username is not None, "URL must not contain a username or password"),
        (parts.query, "URL must not contain a query"),
        (parts.fragment, "URL must not contain a fragment"),
    ):
        if wrong:
            raise ConfigurationError(f'{where}: Invalid value: "{url}": {why}')


def _check_audiences(place: str, audiences: Sequence[str], policy: str) -> None:
    if not audiences or not all(isinstance(each, str) and each for each in audiences):
        raise ConfigurationError(f"{place}.audiences: Required value: at least one {place}.audiences is required")
    if len(set(audiences)) != len(audiences):
        raise ConfigurationError(f"{place}.audiences: Duplicate value")
    if len(audiences) > 1 and policy != "MatchAny":
        why = "audienceMatchPolicy must be MatchAny for multiple audiences"
        raise ConfigurationError(f'{place}.audienceMatchPolicy: Invalid value: "{policy}": {why}')
    if policy not in ("", "MatchAny"):
        why = "audienceMatchPolicy must be empty or MatchAny for single audience"
        raise ConfigurationError(f'{place}.audienceMatchPolicy: Invalid value: "{policy}": {why}')


def check_authority(where: str, pem: str) -> None:
    """Refuse what holds no certificate; "" is the system's trust. Raises ConfigurationError."""
    if not pem:
        return
    try:
        ssl.create_default_context(cadata=pem)
    except ssl.SSLError as error:
        raise ConfigurationError(f'{where}: Invalid value: "<omitted>": holds no certificates in PEM') from error


def _claim_rules(where: str, entries: Sequence[Any]) -> tuple[list[Rule], dict[str, str]]:
    rules: list[Rule] = []
    required: dict[str, str] = {}
    for index, entry in enumerate(entries):
        place = f"{where}.claimValidationRules[{index}]"
        if isinstance(entry, dict) and entry.get("claim"):
            fields = Fields(place, entry)
            claim, value = fields.get("claim", str, ""), fields.get("requiredValue", str, "")
            if fields.get("expression", str, ""):
                raise ConfigurationError(f"{place}: Invalid value: claim and expression can't both be set")
            if fields.get("message", str, ""):
                raise ConfigurationError(f"{place}.message: Invalid value: may not be specified when claim is set")
            fields.close()
            if claim in required:
                raise ConfigurationError(f'{place}.claim: Duplicate value: "{claim}"')
            required[claim] = value
            continue
        rules.append(_rule(place, entry))
    return rules, required


def _rule(where: str, entry: Any, *, of_user: bool = False) -> Rule:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: want a mapping")
    fields = Fields(where, entry)
    expression, message = fields.get("expression", str, ""), fields.get("message", str, "")
    if not of_user and fields.get("requiredValue", str, ""):
        raise ConfigurationError(f"{where}.requiredValue: Invalid value: may not be specified when expression is set")
    fields.close()
    if not expression:
        why = "" if of_user else ": claim or expression is required"
        raise ConfigurationError(f"{where}{'.expression' if of_user else ''}: Required value{why}")
    return Rule(compiled(f"{where}.expression", expression, of_user=of_user, kinds=("bool",)), message)


def _source(where: str, fields: Fields, kinds: Sequence[str], *, needed: bool = False, prefixed: bool = True) -> Source:
    claim, expression = fields.get("claim", str, ""), fields.get("expression", str, "")
    prefix = fields.get("prefix", str, None) if prefixed else ""
    if claim and expression:
        raise ConfigurationError(f"{where}: Invalid value: claim and expression can't both be set")
    if expression:
        if prefixed and prefix is not None:
            raise ConfigurationError(f"{where}.prefix: Invalid value: may not be specified when expression is set")
        return Source(expression=compiled(f"{where}.expression", expression, kinds=kinds))
    if not claim:
        if needed:
            raise ConfigurationError(f"{where}: Required value: claim or expression is required")
        return Source()
    if prefix is None:
        why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        raise ConfigurationError(f"{where}.prefix: Required value: {why}")
    return Source(claim, prefix)


def _extra(where: str, entries: Sequence[Any]) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    for index, entry in enumerate(entries):
        place = f"{where}[{index}]"
        fields = Fields(place, entry if isinstance(entry, dict) else {})
        key, expression = fields.get("key", str, ""), fields.get("valueExpression", str, "")
        fields.close()
        if not _KEY.fullmatch(key):
            why = 'must be a domain-prefixed path in lower case (such as "acme.io/foo")'
            raise ConfigurationError(f'{place}.key: Invalid value: "{key}": {why}')
        domain = key.partition("/")[0]
        if domain in ("k8s.io", "kubernetes.io") or domain.endswith((".k8s.io", ".kubernetes.io")):
            why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
            raise ConfigurationError(f'{place}.key: Invalid value: "{key}": {why}')
        if key in found:
            raise ConfigurationError(f'{place}.key: Duplicate value: "{key}"')
        if not expression:
            raise ConfigurationError(f"{place}.valueExpression: Required value: valueExpression is required")
        found[key] = compiled(f"{place}.valueExpression", expression, kinds=("string", "list", "null"))
    return list(found.items())


def _check_email(where: str, username: Source, others: Sequence[Rule]) -> None:
    program = username.expression
    if program is None or not reads_claim(program, "email"):
        return
    if not any(reads_claim(each, "email_verified") for each in (program, *(rule.expression for rule in others))):
        raise ConfigurationError(
            f"{where}.claimMappings.username.expression: Invalid value: claims.email_verified must be used in "
            "claimMappings.username.expression or claimMappings.extra[*].valueExpression or "
            "claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
        )


def of_flags(options: argparse.Namespace) -> Configuration:
    """What the --oidc-* flags describe. Raises ConfigurationError."""
    if not options.oidc_issuer_url:
        return Configuration()
    _check_url("--oidc-issuer-url", options.oidc_issuer_url)
    if not options.oidc_client_id:
        raise ConfigurationError("--oidc-issuer-url and --oidc-client-id must be specified together")
    prefix = options.oidc_username_prefix
    if not prefix and options.oidc_username_claim != "email":
        # Names of different issuers must not meet; addresses are anybody's by themselves.
        prefix = f"{options.oidc_issuer_url}#"
    if prefix == "-":
        prefix = ""
    authority = Path(options.oidc_ca_file).read_text(encoding="ascii") if options.oidc_ca_file else ""
    for name in options.oidc_signing_algs:
        if name not in ALGORITHMS:
            raise ConfigurationError(f'--oidc-signing-algs: "{name}" is not one of {", ".join(ALGORITHMS)}')
    mappings = Mappings(
        Source(options.oidc_username_claim, prefix),
        Source(options.oidc_groups_claim, options.oidc_groups_prefix),
        required=dict(options.oidc_required_claim),
    )
    issuer = Issuer(
        options.oidc_issuer_url,
        (options.oidc_client_id,),
        mappings,
        authority=authority,
        algorithms=tuple(options.oidc_signing_algs),
    )
    return Configuration((issuer,))

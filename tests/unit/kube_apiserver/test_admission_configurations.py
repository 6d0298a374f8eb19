"""The file of --admission-control-config-file, and who the API server is to webhooks by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.kube_apiserver.admission.configurations import Configurations
from keelson.kube_apiserver.webhooks.credentials import Credentials

_KIND = "WebhookAdmissionConfiguration"
_VERSIONS = ("apiserver.config.k8s.io/v1",)


def _load(folder: Path, text: str) -> Configurations:
    path = folder / "admission.yaml"
    path.write_text(f"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n{text}", encoding="utf-8")
    return Configurations.load(str(path))


def test_a_plugin_is_configured_in_the_file_or_beside_it(tmp_path: Path) -> None:
    stated = f"{{apiVersion: apiserver.config.k8s.io/v1, kind: {_KIND}, kubeConfigFile: /a}}"
    (tmp_path / "other.yaml").write_text(stated.replace("/a", "/b"), encoding="utf-8")
    found = _load(
        tmp_path,
        f"""
plugins:
  - {{name: MutatingAdmissionWebhook, configuration: {stated}}}
  - {{name: ValidatingAdmissionWebhook, path: other.yaml}}
""",
    )
    for plugin, path in (("MutatingAdmissionWebhook", "/a"), ("ValidatingAdmissionWebhook", "/b")):
        assert found.of(plugin, kind=_KIND, api_versions=_VERSIONS) == {"kubeConfigFile": path}
    assert found.of("PodSecurity", kind="PodSecurityConfiguration", api_versions=()) is None
    with pytest.raises(ConfigurationError, match=r"want .* PodSecurityConfiguration, found .* Webhook"):
        found.of("MutatingAdmissionWebhook", kind="PodSecurityConfiguration", api_versions=_VERSIONS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("plugins: [{path: x}]", r"plugins\[0\].name: is required"),
        ("plugins: [{name: X, path: absent.yaml}]", "absent.yaml: No such file"),
        ("plugins: [{name: X, paths: y}]", "unknown field"),
        ("plugin: []", "unknown field"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        _load(tmp_path, text)


def test_webhooks_are_met_by_the_most_exact_name(tmp_path: Path) -> None:
    users = {
        "hooks.example.com:8443": "port",
        "hooks.example.com": "host",
        "*.team.svc": "team",
        "*.svc:8443": "services",
        "*": "anybody",
    }
    path = tmp_path / "webhooks.conf"
    entries = "".join(f'  - {{name: "{name}", user: {{token: {token}}}}}\n' for name, token in users.items())
    path.write_text(f"kind: Config\napiVersion: v1\nusers:\n{entries}", encoding="utf-8")
    found = Credentials.load(str(path))
    for target, token in (
        ("hooks.example.com:8443", "port"),
        ("hooks.example.com:443", "host"),
        ("hooks.example.com", "host"),
        ("hook.team.svc:443", "team"),
        ("hook.team.svc:8443", "services"),
        ("hook.team.svc:9443", "anybody"),
    ):
        identity = found.of(target)
        assert identity is not None
        assert identity.bearer() == token
    assert Credentials({}).of("hooks.example.com:443") is None

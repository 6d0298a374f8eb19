"""What a role wants is known on the operator's machine, and drift is the difference from what is read."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from components.provider import convergence, renderings, role_sources
from components.provider.convergence import Convergence
from components.provider.kinds import Context, Shared, Values
from components.provider.property_values import UNKNOWN, Properties
from components.provider.renderings import RenderError

HOST = {
    "name": "dev-cp-1",
    "address": "192.0.2.1",
    "port": 22,
    "user": "root",
    "host_key": "ssh-ed25519 AAAA",
    "private_key_path": "/nowhere",
}


class Lines:
    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, message: str) -> None:
        self.said.append(message)

    status = warning = info


@pytest.fixture
def roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    role = tmp_path / "web"
    for folder in ("vars", "defaults", "templates", "tasks"):
        (role / folder).mkdir(parents=True)
    (role / "defaults" / "main.yml").write_text("web_port: 80\nweb_extra: ''\n")
    (role / "vars" / "main.yml").write_text(
        "web_files:\n"
        "  - {src: web.conf.j2, dest: /etc/web.conf, mode: '0644', owner: root, group: root, unit: web.service}\n"
        "  - {src: web.service.j2, dest: /etc/web.service, mode: '0644', owner: root, group: root, unit: web.service}\n"
        "  - {content_var: web_key, dest: /etc/web.key, mode: '0400', owner: web, group: web, secret: true}\n"
        "  - {content_var: web_extra, when_set: web_extra, dest: /etc/extra, mode: '0644'}\n"
        "web_units:\n  - {name: web.service, enabled: true, state: started}\n"
        "web_health: {command: 'curl {{ web_address }}:{{ web_port }}', timeout_seconds: 5}\n"
    )
    (role / "templates" / "web.conf.j2").write_text("{% if web_port %}\nport {{ web_port }}\n{% endif %}\n")
    (role / "templates" / "web.service.j2").write_text("ExecStart=/opt/keelson/current/bin/web {{ web_address }}\n")
    (role / "tasks" / "main.yml").write_text("---\n")
    monkeypatch.setattr(role_sources.load, "__defaults__", (tmp_path,))
    return tmp_path


VARIABLES = {"web_key": "secret", "web_address": "192.0.2.1", "base_bundle_version": "1"}


def test_files_are_rendered_as_ansible_would(roles: Path) -> None:
    wanted = renderings.desired(role_sources.load("web"), VARIABLES)
    text = hashlib.sha256(b"port 80\n").hexdigest()
    assert wanted.files["/etc/web.conf"] == f"sha256:{text} 0644 root:root"
    # A text that a variable holds ends in a newline, as the roles' own plugin sees to.
    assert hashlib.sha256(b"secret\n").hexdigest() in wanted.files["/etc/web.key"]
    assert "/etc/extra" not in wanted.files
    assert wanted.units == {"web.service": "enabled active"}
    assert wanted.restarts["/etc/web.conf"] == "web.service"
    assert wanted.health == renderings.Health("curl 192.0.2.1:80", 5.0)


def test_a_missing_variable_is_named(roles: Path) -> None:
    with pytest.raises(RenderError, match="web_address"):
        renderings.desired(role_sources.load("web"), {"web_key": "x"})


def test_only_files_made_from_unknown_values_are_unknown(roles: Path) -> None:
    wanted = renderings.desired(role_sources.load("web"), {**VARIABLES, "web_key": UNKNOWN, "web_port": UNKNOWN})
    assert wanted.files["/etc/web.key"] is UNKNOWN
    assert wanted.files["/etc/web.conf"] is UNKNOWN
    assert wanted.files["/etc/web.service"] is not UNKNOWN
    assert wanted.health is None


async def checked(**variables: Any) -> tuple[Values, Lines]:
    inputs = {"host": HOST, "roles": ["web"], "variables": {**VARIABLES, **variables}}
    lines = Lines()
    values, failures = await Convergence().check(context(lines), Properties(inputs))
    assert failures == []
    return values, lines


def context(lines: Lines) -> Context:
    return Context("urn:pulumi:dev::keelson::keelson:index:Convergence::dev-cp-1", lines, Shared())


async def test_a_changed_file_and_a_stopped_unit_are_named(roles: Path) -> None:
    inputs, lines = await checked()
    placed = {"web": {**inputs["placed"]["web"]}}
    placed["web"]["files"] = {**placed["web"]["files"], "/etc/web.conf": "sha256:0 0644 root:root"}
    placed["web"]["units"] = {"web.service": "enabled inactive"}
    changes = await Convergence().diff(context(lines), inputs, {"placed": placed}, inputs)
    assert {change.path for change in changes} == {
        ("placed", "web", "files", "/etc/web.conf"),
        ("placed", "web", "units", "web.service"),
    }
    assert lines.said == ["dev-cp-1: writes /etc/web.conf; starts or restarts web.service"]
    assert not any(change.replace for change in changes)


async def test_no_difference_is_no_change(roles: Path) -> None:
    inputs, lines = await checked()
    assert await Convergence().diff(context(lines), inputs, {"placed": inputs["placed"]}, inputs) == []
    assert lines.said == []


async def test_a_new_release_changes_the_roles_that_run_from_it(roles: Path) -> None:
    old, lines = await checked()
    new, _ = await checked(base_bundle_version="2")
    changes = await Convergence().diff(context(lines), old, {"placed": old["placed"]}, new)
    assert [change.path for change in changes] == [("placed", "web", "digest")]


async def test_no_secret_is_in_what_a_preview_shows(roles: Path) -> None:
    inputs, lines = await checked(web_key="hunter2")
    assert "hunter2" not in str(inputs["placed"])
    await Convergence().diff(context(lines), inputs, {"placed": {}}, inputs)
    assert lines.said
    assert "hunter2" not in "".join(lines.said)
    assert "hunter2" not in str(Convergence().previewed(inputs, None))


async def test_another_host_is_another_convergence(roles: Path) -> None:
    inputs, lines = await checked()
    moved = {**inputs, "host": {**HOST, "name": "dev-cp-2"}}
    changes = await Convergence().diff(context(lines), inputs, {"placed": inputs["placed"]}, moved)
    assert [(change.path, change.replace) for change in changes] == [(("host", "name"), True)]


def test_variables_go_to_the_role_with_the_longest_name() -> None:
    variables = {"kube_proxy_port": 1, "kube_port": 2}
    assert convergence._of_role("kube", variables, ["kube", "kube_proxy"]) == {"kube_port": 2}
    assert convergence._of_role("kube_proxy", variables, ["kube", "kube_proxy"]) == {"kube_proxy_port": 1}


def test_roles_converge_in_their_order_whatever_order_the_wire_gave() -> None:
    wanted = {"web": {"digest": "1", "files": {}, "units": {}}, "base": {"digest": "1", "files": {}, "units": {}}}
    inputs = {"roles": ["base", "web"], "placed": wanted}
    assert convergence._outdated(inputs, {}, {}) == ["base", "web"]

"""Each file renders the same on the toolkit's road (plain jinja2) and on Ansible's, whatever the values."""

from __future__ import annotations

import base64
import configparser
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.unit.roles import sources
from tests.unit.roles.sources import ROLES, ROOT

# What Ansible would send to a host is taken from the action plugin itself, by a module that only echoes it.
ECHO = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"role": {}, "files": {"type": "list"}, "archive": {}})
module.exit_json(**{name: module.params[name] for name in ("role", "files", "archive")})
"""


def plainly(role: str, variables: dict[str, Any]) -> dict[str, str]:
    """Content by path, as the toolkit computes it for a preview."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / role / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    contents = {}
    for entry in sources.read(role, "vars/main.yml")[f"{role}_files"]:
        if "when_set" in entry and not variables[entry["when_set"]]:
            continue
        if "src" in entry:
            contents[entry["dest"]] = environment.get_template(entry["src"]).render(variables)
        else:
            text = variables[entry["content_var"]]
            contents[entry["dest"]] = text if text.endswith("\n") else text + "\n"
    return contents


@pytest.fixture(scope="module")
def by_ansible(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Content by path, by role and case, as the action plugin renders it: one run of ansible-playbook for all."""
    place = tmp_path_factory.mktemp("ansible")
    (place / "modules").mkdir()
    (place / "modules" / "keelson_files.py").write_text(ECHO)
    hosts = {}
    for case, values in cases().items():
        role = case.split("/")[0]
        hosts[case] = {**values, "ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        # The role's own vars, and its templates by the role's search path.
        task = {"name": "Place", "ansible.legacy.keelson_files": {"role": role, "files": f"{{{{ {role}_files }}}}"}}
        folder = place / "roles" / role
        if not folder.exists():
            (folder / "tasks").mkdir(parents=True)
            (folder / "tasks" / "main.yml").write_text(yaml.safe_dump([task]))
            for part in ("vars", "templates"):
                (folder / part).symlink_to(ROOT / role / part)
    include = {"ansible.builtin.include_role": {"name": "{{ inventory_hostname.split('/')[0] }}"}}
    play = {"name": "Render", "hosts": "all", "gather_facts": False, "tasks": [{"name": "Role", **include}]}
    (place / "site.yml").write_text(yaml.safe_dump([play]))
    (place / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (place / "ansible.cfg").touch()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(place / "ansible.cfg"),
        "ANSIBLE_HOME": str(place / "home"),
        "ANSIBLE_LIBRARY": str(place / "modules"),
        "ANSIBLE_ACTION_PLUGINS": str(ROOT / "plugins" / "action"),
        "ANSIBLE_STDOUT_CALLBACK": "collect",
        "ANSIBLE_CALLBACK_PLUGINS": str(place / "callbacks"),
        "ANSIBLE_FORKS": "4",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_NOCOLOR": "1",
    }
    (place / "callbacks").mkdir()
    (place / "callbacks" / "collect.py").write_text(COLLECT)
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", place / "hosts.json", place / "site.yml"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"case"')]
    answers = {line["case"]: line["result"] for line in lines if "archive" in line["result"]}
    return {case: _contents(answer) for case, answer in answers.items()}


COLLECT = """
import json
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "collect"

    def v2_runner_on_ok(self, result):
        self._display.display(json.dumps({"case": result._host.get_name(), "result": result._result}))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._display.display(str(result._result))
"""


def _contents(answer: dict[str, Any]) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(answer["archive"])), mode="r:gz") as archive:
        found = {}
        for index, entry in enumerate(answer["files"]):
            member = archive.extractfile(str(index))
            assert member is not None
            found[entry["path"]] = member.read().decode()
    return found


def cases() -> dict[str, dict[str, Any]]:
    """By "role/case": every variable filled, and every default left as it is."""
    found = {}
    for role in ROLES:
        filled = sources.samples(role)
        found[f"{role}/filled"] = filled
        found[f"{role}/defaults"] = {**filled, **sources.read(role, "defaults/main.yml")}
    return found


@pytest.mark.parametrize("case", sorted(cases()))
def test_both_roads_lead_to_the_same_files(case: str, by_ansible: dict[str, dict[str, str]]) -> None:
    assert by_ansible[case] == plainly(case.split("/")[0], cases()[case])


def realistic(role: str) -> dict[str, Any]:
    """Values without the traps, for files whose format is checked."""

    def tame(value: Any) -> Any:
        if isinstance(value, str):
            return value.split(":")[0]
        if isinstance(value, dict):
            return {key: tame(each) for key, each in value.items()}
        return [tame(each) for each in value] if isinstance(value, list) else value

    return {name: tame(value) for name, value in sources.samples(role).items()}


@pytest.mark.parametrize("role", ROLES)
def test_units_are_well_formed(role: str) -> None:
    """Every line is a section, a setting or a continuation; every unit file has what starts it."""
    for path, text in plainly(role, realistic(role)).items():
        if not path.startswith("/etc/systemd/system/"):
            continue
        parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        if path.endswith(".service"):
            assert parser["Service"]["ExecStart"].startswith("/")
            assert parser["Install"]["WantedBy"] == "multi-user.target"
            assert "{" not in text.replace("${", "")


def test_flags_are_quoted_for_systemd() -> None:
    """A value's percent and dollar are its own, not systemd's (systemd.service(5), COMMAND LINES)."""
    values = {**realistic("kube_scheduler"), "kube_scheduler_extra_arguments": {"odd": "a%b$c", "leader-elect": False}}
    text = plainly("kube_scheduler", values)["/etc/systemd/system/kube-scheduler.service"]
    assert '"--odd=a%%b$$c"' in text
    assert '"--leader-elect=false"' in text
    assert "leader-elect=true" not in text


def test_yaml_files_hold_what_they_were_given() -> None:
    text = plainly("kubelet", sources.samples("kubelet"))["/var/lib/kubelet/config.yaml"]
    document = yaml.safe_load(text)
    assert document["clusterDomain"] == sources.samples("kubelet")["kubelet_cluster_domain"]
    assert document["registerWithTaints"] == sources.samples("kubelet")["kubelet_register_taints"]


def test_without_cgroups_nothing_claims_to_be_enforced() -> None:
    values = {**realistic("kubelet"), "kubelet_cgroups_enforced": False}
    document = yaml.safe_load(plainly("kubelet", values)["/var/lib/kubelet/config.yaml"])
    assert document["enforceNodeAllocatable"] == []
    assert document["cgroupsPerQOS"] is False

"""Runs roles on one host by ansible-runner, with everything that holds secrets on a tmpfs and removed afterwards.

One process of ansible-playbook a call; its events become the resource's progress, and its failure one sentence with the
host, the task and the reason.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.provider import role_sources
from components.provider.connections import Target
from components.provider.kinds import ResourceError
from components.provider.private_directories import private_directory


@dataclass(slots=True)
class Progress:
    """What the events of a run have told so far."""

    report: Callable[[str], None]
    host: str
    role: str = ""
    changed: int = 0
    failures: list[str] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event of ansible-runner."""
        data = event.get("event_data") or {}
        match event.get("event"):
            case "playbook_on_task_start" | "playbook_on_handler_task_start":
                self.role = data.get("role") or ""
                self.report(self._where(data))
            case "runner_on_ok":
                self.changed += bool((data.get("res") or {}).get("changed"))
            case "runner_on_failed" if not data.get("ignore_errors"):
                self.failures.append(f"{self._where(data)}: {_reason(data.get('res') or {})}")
            case "runner_on_unreachable":
                self.failures.append(f"{self.host}: not reachable: {_reason(data.get('res') or {})}")

    def _where(self, data: Mapping[str, Any]) -> str:
        role = data.get("role") or self.role
        task = str(data.get("task") or "").removeprefix(f"{role} : ")
        if task.startswith("Validating arguments"):
            task = "Check variables"
        return f"{self.host}: {role} : {task}"


def _reason(result: Mapping[str, Any]) -> str:
    if "censored" in result:
        return "its output is hidden because it handles secrets"
    parts = [str(result.get(key) or "").strip() for key in ("msg", "stderr", "exception")]
    text = next((part for part in parts if part), "no reason given")
    # The last lines of a long output are what failed; the first of a short one is the message.
    return " / ".join(text.splitlines()[-3:])


def run(
    target: Target,
    roles: Sequence[str],
    variables: Mapping[str, Any],
    *,
    report: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> int:
    """Run `roles` in order on the host; blocks until done. Gives the number of tasks that changed something.

    Raises `ResourceError` naming host, task and reason; all of them if several failed.
    """
    # Costs a quarter of a second, which only a run that changes something should pay.
    import ansible_runner  # type: ignore[import-untyped]

    progress = Progress(report, target.name)
    with private_directory() as private:
        _write(private, target, roles, variables)
        result = ansible_runner.run(
            private_data_dir=str(private),
            playbook="site.yml",
            envvars=_environment(private),
            event_handler=_keep_nothing(progress.take),
            cancel_callback=cancelled,
            quiet=True,
            suppress_env_files=True,
            settings={"suppress_ansible_output": True, "pexpect_use_poll": True},
        )
        if result.status == "successful":
            return progress.changed
        if result.status == "canceled":
            raise ResourceError(f"{target.name}: cancelled while {', '.join(roles)} converged")
        if not progress.failures:
            # Ansible itself failed, before or beside any task.
            said = "".join(
                path.read_text(errors="replace")
                for path in sorted((private / "artifacts").glob("*/std*"))
                if path.name in ("stdout", "stderr")
            )
            lines = said.strip().splitlines()[-3:] or [f"status {result.rc}, and nothing was said"]
            progress.failures.append(f"{target.name}: ansible-playbook: {' / '.join(lines)}")
    raise ResourceError("; ".join(progress.failures))


def _keep_nothing(take: Callable[[Mapping[str, Any]], None]) -> Callable[[Mapping[str, Any]], bool]:
    def handler(event: Mapping[str, Any]) -> bool:
        take(event)
        # False: the event is not written to a file.
        return False

    return handler


def _write(private: Path, target: Target, roles: Sequence[str], variables: Mapping[str, Any]) -> None:
    for folder in ("project", "inventory", "env", "tmp", "control"):
        (private / folder).mkdir(mode=0o700)
    play = {"name": "Converge", "hosts": "all", "gather_facts": False, "become": target.user != "root"}
    (private / "project" / "site.yml").write_text(json.dumps([{**play, "roles": list(roles)}]))
    options = (
        f"-o UserKnownHostsFile={private}/known_hosts -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes"
    )
    host = {
        "ansible_host": target.address,
        "ansible_port": target.port,
        "ansible_user": target.user,
        "ansible_ssh_private_key_file": target.private_key_path,
        "ansible_ssh_common_args": f"-F /dev/null {options} -o IdentitiesOnly=yes -o IdentityAgent=none",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    (private / "inventory" / "hosts.json").write_text(json.dumps({"all": {"hosts": {target.name: host}}}))
    # Empty, and named: the operator's own ansible.cfg must not leak in.
    (private / "ansible.cfg").touch()
    (private / "known_hosts").write_text(target.known_hosts_line)
    (private / "env" / "extravars").write_text(json.dumps(variables))


def _environment(private: Path) -> dict[str, str]:
    plugins = role_sources.ROOT / "plugins"
    return {
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(__file__).parent / 'wrappers'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "ANSIBLE_CONFIG": str(private / "ansible.cfg"),
        "ANSIBLE_HOME": str(private / "tmp"),
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / "control"),
        "ANSIBLE_ROLES_PATH": str(role_sources.ROOT),
        "ANSIBLE_ACTION_PLUGINS": str(plugins / "action"),
        "ANSIBLE_LIBRARY": str(plugins / "modules"),
        "ANSIBLE_FILTER_PLUGINS": str(plugins / "filter"),
        "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=15s",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_FORKS": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
    }

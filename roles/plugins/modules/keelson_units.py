"""Brings a role's systemd units to what their files say: enabled, started, and restarted if what they read has changed.

What a unit last started with is recorded in /var/lib/keelson/units.d/<role>.json. So a convergence that was cut off
between writing a file and restarting its unit is completed by the next one, which a handler could not do.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: keelson_units
short_description: Enable, start, reload and restart a role's units
description:
  - A unit is restarted if its definition has changed; if another of its files has, on_change says restart or reload.
  - A start is asked of systemd and not waited for, unless the unit says wait. Health is a gate's matter.
options:
  role: {description: Name of the role., type: str, required: true}
  units:
    description: Name, enabled, state (started or stopped), on_change (restart or reload) and wait of each unit.
    type: list
    elements: dict
    required: true
  digests: {description: What keelson_files answered as units., type: dict, default: {}}
"""

RETURN = """
actions: {description: What was or would be done., type: list, returned: always}
"""

RECORDS = Path("/var/lib/keelson/units.d")
CURRENT = Path("/opt/keelson/current")
PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "FragmentPath")


class RefusedError(Exception):
    """A unit cannot be brought to its state; the text says which and what systemd said."""


def systemctl(*arguments: str) -> str:
    """Run systemctl. Raises RefusedError with what it said where it fails."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"systemctl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def shown(name: str) -> dict[str, str]:
    """A unit's properties as systemd has them now."""
    text = systemctl("show", "--property", ",".join(PROPERTIES), name)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def with_release(digest: Any, state: dict[str, str]) -> Any:
    """The digest of a unit's files, with the release that it runs from where it does.

    /opt/keelson/current leads to another release without any file of the unit having changed.
    """
    fragment = state.get("FragmentPath")
    if digest is None or not fragment or f"{CURRENT}/" not in Path(fragment).read_text() or not CURRENT.is_symlink():
        return digest
    return {**digest, "definition": f"{digest['definition']} {CURRENT.readlink()}"}


def decide(unit: dict[str, Any], state: dict[str, str], digest: Any, applied: Any) -> list[list[str]]:
    """The systemctl calls that bring one unit from `state` to what is asked.

    `digest` is what its files are, `applied` what they were when it was last started, None if that is not known.
    """
    name, wait = unit["name"], [] if unit.get("wait", False) else ["--no-block"]
    calls = []
    if unit.get("enabled", True) != (state.get("UnitFileState") == "enabled"):
        calls.append(["enable" if unit.get("enabled", True) else "disable", name])
    running = state.get("ActiveState") not in ("inactive", "failed", None)
    if unit.get("state", "started") == "stopped":
        if running:
            calls.append(["stop", name])
    elif not running:
        calls.append(["start", *wait, name])
    elif digest != applied:
        same_definition = applied is not None and digest is not None and digest["definition"] == applied["definition"]
        gently = same_definition and unit.get("on_change", "restart") == "reload"
        calls.append(["reload-or-restart" if gently else "restart", *wait, name])
    return calls


def converge(role: str, units: list[dict[str, Any]], digests: dict[str, Any], *, check: bool) -> list[str]:
    """Do what `decide` says for each unit, recording after each what it now runs with; gives the calls made."""
    record = RECORDS / f"{role}.json"
    applied = json.loads(record.read_text()) if record.exists() else {}
    states = {unit["name"]: shown(unit["name"]) for unit in units}
    stale = any(
        state["NeedDaemonReload"] == "yes" or (state["LoadState"] == "not-found" and name in digests)
        for name, state in states.items()
    )
    actions = []
    if stale and not check:
        systemctl("daemon-reload")
        states = {name: shown(name) for name in states}
    for unit in units:
        name = unit["name"]
        digest = with_release(digests.get(name), states[name])
        for call in decide(unit, states[name], digest, applied.get(name)):
            actions.append(" ".join(call))
            if not check:
                systemctl(*call)
        if applied.get(name) != digest and not check:
            applied[name] = digest
            RECORDS.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = record.with_suffix(".new")
            draft.write_text(json.dumps(applied, indent=1, sort_keys=True) + "\n")
            draft.replace(record)
    return actions


def main() -> None:
    """Read the task's arguments, converge the units, answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True},
            "units": {"type": "list", "elements": "dict", "required": True},
            "digests": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        actions = converge(
            module.params["role"], module.params["units"], module.params["digests"], check=module.check_mode
        )
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'systemctl'}: {error.strerror}")
    else:
        module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()

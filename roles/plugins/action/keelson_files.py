"""Renders all files of a role on the operator's machine and sends them to the host as one archive.

One task a role, where a task a file would cost most of a convergence's time. The host's half, the module of the same
name, decides what differs, and writes only that.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template


class ActionModule(ActionBase):
    """`keelson_files: {role: name, files: [...]}`; see the module's documentation for what a file has."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, send, and give the module's answer.

        Raises AnsibleActionFail where an argument is missing or a file has neither template nor content.
        """
        super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            role, files = str(self._task.args["role"]), list(self._task.args["files"])
        except KeyError as error:
            raise AnsibleActionFail(f"keelson_files needs {error}") from error
        placed, contents = [], []
        for entry in files:
            if (condition := entry.get("when_set")) and not self._templar.template(variables.get(condition)):
                continue
            content = self._content(entry, variables).encode()
            contents.append(content)
            placed.append(
                {
                    "path": entry["dest"],
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "mode": entry["mode"],
                    "owner": entry["owner"],
                    "group": entry["group"],
                    "unit": entry.get("unit"),
                    "secret": bool(entry.get("secret", False)),
                }
            )
        arguments = {"role": role, "files": placed, "archive": _archive(contents)}
        result: dict[str, Any] = self._execute_module("ansible.legacy.keelson_files", arguments, task_vars=variables)
        return result

    def _content(self, entry: dict[str, Any], variables: dict[str, Any]) -> str:
        if "content_var" in entry:
            name = entry["content_var"]
            if name not in variables:
                raise AnsibleActionFail(f"{entry['dest']}: the variable {name} is not defined")
            text = str(self._templar.template(variables[name]))
            # A certificate or kubeconfig is a text file whether or not its variable ends so.
            return text if text.endswith("\n") else text + "\n"
        if "src" not in entry:
            raise AnsibleActionFail(f"{entry['dest']}: a file has either src or content_var")
        source = Path(self._find_needle("templates", entry["src"]))
        template = trust_as_template(source.read_text())
        rendered = self._templar.template(template, escape_backslashes=False, overrides={"trim_blocks": True})
        return "" if rendered is None else str(rendered)


def _archive(contents: list[bytes]) -> str:
    """The contents in order, as a compressed tar in base64: the text that travels in the module's arguments."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for index, content in enumerate(contents):
            member = tarfile.TarInfo(str(index))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return base64.b64encode(buffer.getvalue()).decode()

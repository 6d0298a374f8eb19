"""Installs a release bundle on a host, sending its archive only where the host does not have it yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """`keelson_bundle: {archive: path, version: text, digest: sha256}`; the archive is on the operator's machine."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host, send what it lacks, install. Raises AnsibleActionFail where the archive is not there."""
        super().run(tmp, task_vars)
        arguments = {name: self._task.args.get(name) for name in ("version", "digest")}
        answer: dict[str, Any] = self._execute_module("ansible.legacy.keelson_bundle", arguments, task_vars=task_vars)
        if answer.get("failed") or not answer.get("wanted") or self._task.check_mode:
            return answer
        archive = Path(str(self._task.args.get("archive")))
        if not archive.is_file():
            raise AnsibleActionFail(f"the release bundle {archive} is not on this machine")
        directory = self._make_tmp_path()
        try:
            remote = self._transfer_file(str(archive), f"{directory}/bundle.tar.zst")
            installed: dict[str, Any] = self._execute_module(
                "ansible.legacy.keelson_bundle", {**arguments, "archive": remote}, task_vars=task_vars
            )
        finally:
            self._remove_tmp_path(directory)
        return installed

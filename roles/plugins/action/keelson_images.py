"""Imports container images on a host from archives of the operator's machine, sending only those it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """`keelson_images: {images: [{name, archive, digest}]}`; the archives are on the operator's machine."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host, send what it lacks, import. Raises AnsibleActionFail where an archive is not there."""
        super().run(tmp, task_vars)
        images = [dict(image) for image in self._task.args.get("images", [])]
        known = [{"name": image["name"], "digest": image["digest"]} for image in images]
        answer: dict[str, Any] = self._execute_module(
            "ansible.legacy.keelson_images", {"images": known}, task_vars=task_vars
        )
        if answer.get("failed") or not answer.get("missing") or self._task.check_mode:
            return answer
        directory = self._make_tmp_path()
        sent = []
        try:
            for index, image in enumerate(images):
                if image["name"] not in answer["missing"]:
                    continue
                archive = Path(str(image["archive"]))
                if not archive.is_file():
                    raise AnsibleActionFail(f"{image['name']}: the archive {archive} is not on this machine")
                place = f"{directory}/{index}.tar"
                remote = self._transfer_file(str(archive), place)
                sent.append({"name": image["name"], "digest": image["digest"], "archive": remote})
            imported: dict[str, Any] = self._execute_module(
                "ansible.legacy.keelson_images", {"images": sent}, task_vars=task_vars
            )
        finally:
            self._remove_tmp_path(directory)
        return imported

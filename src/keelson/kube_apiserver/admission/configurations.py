"""The file of --admission-control-config-file: what single plugins are told, in it or in files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keelson.component_base import configurations
from keelson.component_base.configurations import ConfigurationError, Fields

_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")


class Configurations:
    """Each plugin's document by its name; `file` is where they were stated."""

    def __init__(self, documents: Mapping[str, dict[str, Any]], file: str = "") -> None:
        self._documents = documents
        self._file = file

    @classmethod
    def load(cls, path: str) -> Configurations:
        """An AdmissionConfiguration file, empty where there is none. Raises ConfigurationError."""
        if not path:
            return NONE
        fields = Fields(path, configurations.load(path, kind="AdmissionConfiguration", api_versions=_VERSIONS))
        found: dict[str, dict[str, Any]] = {}
        for index, stated in enumerate(fields.get("plugins", list, [])):
            where = f"{path}: plugins[{index}]"
            if not isinstance(stated, dict):
                raise ConfigurationError(f"{where}: want a mapping")
            plugin = Fields(where, stated)
            name, file = plugin.get("name", str, ""), plugin.get("path", str, "")
            document = plugin.get("configuration", dict, None)
            plugin.close()
            if not name:
                raise ConfigurationError(f"{where}.name: is required")
            if document is None and file:
                # A path is relative to the file that states it.
                document = configurations.document(str(Path(path).parent / file))
            if document is not None:
                found[name] = document
        fields.close()
        return cls(found, path)

    def of(self, plugin: str, *, kind: str, api_versions: tuple[str, ...]) -> dict[str, Any] | None:
        """A plugin's configuration without apiVersion and kind, None where it has none. Raises ConfigurationError."""
        document = self._documents.get(plugin)
        if document is None:
            return None
        return configurations.of_kind(document, f"{self._file}: {plugin}", kind=kind, api_versions=api_versions)

    def untyped(self, plugin: str) -> dict[str, Any]:
        """A plugin's configuration that has neither apiVersion nor kind, empty where it has none."""
        return self._documents.get(plugin, {})


NONE = Configurations({})

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
                document = _document(str(Path(path).parent / file))
            if document is not None:
                found[name] = document
        fields.close()
        return cls(found, path)

    def of(self, plugin: str, *, kind: str, api_versions: tuple[str, ...]) -> dict[str, Any] | None:
        """A plugin's configuration without apiVersion and kind, None where it has none. Raises ConfigurationError."""
        document = self._documents.get(plugin)
        if document is None:
            return None
        if document.get("kind") != kind or document.get("apiVersion") not in api_versions:
            found = f"{document.get('apiVersion')} {document.get('kind')}"
            raise ConfigurationError(f"{self._file}: {plugin}: want {' or '.join(api_versions)} {kind}, found {found}")
        return {key: value for key, value in document.items() if key not in ("kind", "apiVersion")}

    def untyped(self, plugin: str) -> dict[str, Any]:
        """A plugin's configuration that has neither apiVersion nor kind, empty where it has none."""
        return self._documents.get(plugin, {})


def _document(path: str) -> dict[str, Any]:
    # Only those who have a file of this kind pay for its reader.
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: the document must be a mapping")
    return document


NONE = Configurations({})

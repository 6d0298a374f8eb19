"""What an image is made of, as checked values: a misspelt key fails before minutes of building."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from components.setup.errors import SetupError


def load(path: Path, schema: Path) -> dict[str, Any]:
    """Return the content of the YAML file `path`; raise SetupError naming file and key if `schema` forbids it."""
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise SetupError(str(path), str(error)) from error
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    wrong = jsonschema.exceptions.best_match(validator.iter_errors(content))
    if wrong is not None:
        # Of alternatives that all fail, each says why; "none of them is valid" would help nobody.
        reasons = [error.message for error in wrong.context or (wrong,)]
        raise SetupError(f"{path}: {wrong.json_path}", "; or ".join(reasons))
    return content

"""What of this checkout goes into a bundle.

It is read once, so that a file edited while a bundle is built cannot slip in under the version of the old content.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
# What the wheel is built from beside the package: pyproject.toml names the other two.
_BESIDE = ("pyproject.toml", "README.md", "LICENSE", "uv.lock")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Content by path relative to the checkout, in the order of the paths."""

    files: dict[str, bytes]

    def digest(self) -> str:
        """Return the SHA-256 of all names and contents, in hexadecimal."""
        state = hashlib.sha256()
        for name, content in self.files.items():
            state.update(f"{name}\0{len(content)}\0".encode() + content)
        return state.hexdigest()

    def write(self, folder: Path) -> None:
        """Write the files below `folder`."""
        for name, content in self.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def project_version(self) -> str:
        """Return the version in pyproject.toml."""
        version: str = tomllib.loads(self.files["pyproject.toml"].decode())["project"]["version"]
        return version

    def entry_points(self) -> dict[str, tuple[str, str]]:
        """Return module and function by binary, of those entry points in pyproject.toml whose module is there."""
        scripts: dict[str, str] = tomllib.loads(self.files["pyproject.toml"].decode())["project"]["scripts"]
        found = {}
        for binary, target in sorted(scripts.items()):
            module, _, function = target.partition(":")
            if f"src/{module.replace('.', '/')}.py" in self.files:
                found[binary] = (module, function)
        return found

    def missing_entry_points(self) -> list[str]:
        """Return the binaries that pyproject.toml names and the checkout has no module for."""
        scripts = tomllib.loads(self.files["pyproject.toml"].decode())["project"]["scripts"]
        return sorted(set(scripts) - set(self.entry_points()))


def read(checkout: Path = CHECKOUT) -> Sources:
    """Return the sources as they are now."""
    paths = [
        *(checkout / name for name in _BESIDE),
        *(
            path
            for path in (checkout / "src" / "keelson").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ),
    ]
    return Sources(files={str(path.relative_to(checkout)): path.read_bytes() for path in sorted(paths)})

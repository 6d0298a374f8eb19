"""One clone of the repository and what is its own: the state folder, the passphrase, the environment of its stacks.

What a stack has outside the clone is named by `components.hosts.labs`, so that two clones never meet.
"""

import json
import os
import re
import secrets
import shlex
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.setup import commands
from components.setup.errors import SetupError

PROJECT = "keelson"
"""The Pulumi project's name, as Pulumi.yaml has it: file backends keep stacks in a folder of this name."""

_STACK = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class Clone:
    """A checkout. `root` is absolute; `environ` is the operator's own environment."""

    root: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @property
    def state(self) -> Path:
        """The folder of everything this clone must not lose or show; created with mode 0700."""
        place = self.root / ".state"
        place.mkdir(mode=0o700, exist_ok=True)
        place.chmod(0o700)
        return place

    def stack(self, name: str) -> "Stack":
        """Return the stack called `name`; raises SetupError if this clone has no settings for it."""
        if not _STACK.fullmatch(name):
            raise SetupError(f"{name!r} is no name of an environment", f"use one of {', '.join(self.stack_names())}")
        if name not in self.stack_names():
            known = ", ".join(self.stack_names())
            raise SetupError(f"there is no environment {name}", f"use one of {known}, or add stacks/Pulumi.{name}.yaml")
        return Stack(self, name)

    def stack_names(self) -> list[str]:
        """Return the environments that `stacks/Pulumi.<name>.yaml` declare."""
        return sorted(file.name.split(".")[1] for file in (self.root / "stacks").glob("Pulumi.*.yaml"))

    @property
    def file_backend(self) -> Path | None:
        """The folder of the file backend, or None where the operator chose another.

        An explicit PULUMI_BACKEND_URL wins; then state that this clone already has; then `pulumi login`.
        """
        if self.environ.get("PULUMI_BACKEND_URL"):
            return None
        place = self.state / "pulumi"
        if not _stack_files(place) and self._login():
            return None
        return place

    def backend(self) -> str | None:
        """Return the URL to be exported as PULUMI_BACKEND_URL, or None where Pulumi's own login decides."""
        place = self.file_backend
        if place is not None:
            place.mkdir(mode=0o700, exist_ok=True)
            return f"file://{urllib.parse.quote(str(place))}"
        return self.environ.get("PULUMI_BACKEND_URL") or None

    def passphrase(self) -> Path | None:
        """Return the file with the passphrase of the secrets in state, or None where the environment names its own.

        It is made once. Raises SetupError where state exists that no new passphrase could open.
        """
        if "PULUMI_CONFIG_PASSPHRASE" in self.environ or self.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
            return None
        file = self.state / "passphrase"
        if file.is_file():
            return file
        kept = _stack_files(self.state / "pulumi")
        if kept:
            stacks = ", ".join(sorted(path.stem for path in kept))
            raise SetupError(
                f"{file} is missing and the state of {stacks} is encrypted with it",
                "restore the file, or set PULUMI_CONFIG_PASSPHRASE",
            )
        # Written whole under another name and then linked: a killed run leaves no empty passphrase, and of two runs at
        # once the second takes what the first made.
        partial = file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
        try:
            file.hardlink_to(partial)
        except FileExistsError:
            return file
        finally:
            partial.unlink()
        return file

    def _login(self) -> bool:
        home = Path(self.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
        try:
            credentials = json.loads((home / "credentials.json").read_text())
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise SetupError(
                f"cannot read {home / 'credentials.json'} ({error})", "run `pulumi login` again"
            ) from error
        return bool(credentials.get("current"))


@dataclass(frozen=True)
class Stack:
    """One environment of one clone: a Pulumi stack and, where its hosts are of our own making, a lab."""

    clone: Clone
    name: str

    @property
    def settings(self) -> Path:
        """The stack's settings, which Pulumi reads and `pulumi config set` writes."""
        return self.clone.root / "stacks" / f"Pulumi.{self.name}.yaml"

    @property
    def place(self) -> Path:
        """The folder of what this stack alone keeps on the operator's machine: hosts' trees, keys, kept outputs."""
        place = self.clone.state / "labs" / self.name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    @property
    def checkpoint(self) -> Path | None:
        """The file in which a file backend keeps this stack's state, there or not; None with other backends."""
        backend = self.clone.file_backend
        return backend / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json" if backend else None

    @property
    def locks(self) -> list[Path]:
        """The locks that a file backend holds on this stack."""
        backend = self.clone.file_backend
        if backend is None:
            return []
        return sorted((backend / ".pulumi" / "locks" / "organization" / PROJECT / self.name).glob("*.json"))

    def exports(self, *tools: Path) -> dict[str, str]:
        """Return the variables that make `pulumi` work on this stack from any folder of the clone.

        `tools` are folders of programs, Pulumi's among them. The language host runs the `python` of PATH, hence the
        activated virtual environment; plugins are found on PATH too.
        """
        root = self.clone.root
        virtual_environment = root / ".venv"
        first = [virtual_environment / "bin", root / "components" / "provider" / "bin", *tools]
        variables = {
            "PATH": commands.search_path(*first, environment=self.clone.environ),
            "VIRTUAL_ENV": str(virtual_environment),
            "PULUMI_STACK": self.name,
            # Without it every command waits for the network.
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            # The salt of the passphrase is read from state, so that a stack's settings can stay free of it.
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        }
        backend = self.clone.backend()
        if backend is not None:
            variables["PULUMI_BACKEND_URL"] = backend
        passphrase = self.clone.passphrase()
        if passphrase is not None:
            variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase)
        return variables

    def environment(self, engine: Path) -> dict[str, str]:
        """Return the whole environment of a child that works on this stack."""
        inherited = {name: value for name, value in self.clone.environ.items() if name not in _NOT_INHERITED}
        return {**inherited, **self.exports(engine)}


# What make tells its children, and what would make Python look elsewhere.
_NOT_INHERITED = frozenset({"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONHOME"})


def shell(variables: Mapping[str, str]) -> str:
    """Return POSIX shell text that exports the variables, for `eval`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def _stack_files(backend: Path) -> list[Path]:
    return sorted((backend / ".pulumi" / "stacks" / PROJECT).glob("*.json"))

"""Programs built from Go modules, for machines where no release binary of them can be had.

`tools/<name>/go.mod` and `go.sum` pin what is built; the checksums make a module proxy's answers as good as a
release's. A go command that is too old (Debian 12's) still serves to fetch a newer toolchain, which is
published as a Go module.
"""

import json
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

from components.setup import caches, commands, packages, progress
from components.setup.errors import SetupError

TOOLCHAIN = "1.26.8"
"""The Go release that is fetched where the machine's own is missing or too old for a module."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_REMEDY = "see the lines above; is a Go module proxy in reach (GOPROXY)?"

Version = tuple[int, ...]


def version(text: str) -> Version:
    """Return the numbers of a Go version such as `go1.25.11` or `1.18`; raise ValueError if there are none."""
    match = re.match(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        raise ValueError(f"not a Go version: {text!r}")
    return tuple(int(number or 0) for number in match.groups())


def required(module: Path) -> Version:
    """Return the least Go version that the folder's go.mod names (Go Modules Reference, `go` directive)."""
    for line in (module / "go.mod").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "go":
            return version(rest.strip())
    raise SetupError(f"{module / 'go.mod'} names no Go version", "restore it from the repository")


def environment() -> dict[str, str]:
    """Return the environment of every go command: the toolchain we chose, no C compiler, go.sum never rewritten."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}


def toolchain(minimum: Version) -> Path:
    """Return a go command of at least `minimum`, fetching one if need be. Raises SetupError if none can be had."""
    found = shutil.which("go", path=commands.search_path() + os.pathsep + "/usr/local/go/bin")
    if found is not None and _version_of(Path(found)) >= minimum:
        return Path(found)
    fetched = caches.root() / "go" / _toolchain_name() / "bin" / "go"
    if not fetched.is_file():
        if found is None:
            packages.install(["golang-go"], why="building from Go modules")
            found = shutil.which("go")
            if found is None:
                raise SetupError("golang-go is installed but there is no go command", "put /usr/bin on PATH")
        if _version_of(Path(found)) >= minimum:
            return Path(found)
        _fetch(Path(found))
    if version(TOOLCHAIN) < minimum:
        wanted = ".".join(map(str, minimum))
        raise SetupError(f"Go {wanted} is needed and {TOOLCHAIN} is pinned", "raise TOOLCHAIN in go_modules.py")
    return fetched


def build(module: Path, package: str, output: Path, *, linker_flags: str = "") -> None:
    """Build one main package of the module in folder `module` into the file `output`."""
    _compile(["build", "-v"], module, package, output, linker_flags)


def build_tests(module: Path, package: str, output: Path, *, linker_flags: str = "") -> None:
    """Build the tests of one package of the module in folder `module` into the program `output` (go help test, -c)."""
    _compile(["test", "-c"], module, package, output, linker_flags)


def _compile(verb: list[str], module: Path, package: str, output: Path, linker_flags: str) -> None:
    go = toolchain(required(module))
    progress.say(f"building {output.name} from Go modules (minutes, once per machine)")
    commands.run(
        [go, *verb, "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {linker_flags}", "-o", output, package],
        label=f"building {output.name}",
        remedy=_REMEDY,
        environment=environment(),
        directory=module,
    )


def folder(module: Path, path: str, at: str) -> Path:
    """Return the folder in the module cache that holds module `path` at version `at`, checked against go.sum."""
    go = toolchain(required(module))
    with progress.heartbeat(f"downloading {path}"):
        answer = json.loads(
            commands.capture(
                [go, "mod", "download", "-json", f"{path}@{at}"], environment=environment(), directory=module
            )
        )
    return Path(answer["Dir"])


def _version_of(go: Path) -> Version:
    return version(commands.capture([go, "env", "GOVERSION"], environment=environment()).strip())


def _toolchain_name() -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise SetupError(f"no Go toolchain is known for {machine}", f"install Go {TOOLCHAIN} or newer by hand")
    return f"go{TOOLCHAIN}.linux-{_ARCHITECTURES[machine]}"


def _fetch(go: Path) -> None:
    name = _toolchain_name()

    def unpack(place: Path) -> None:
        # Outside any module, so that an old go command need not understand a go.mod of ours.
        with tempfile.TemporaryDirectory() as nowhere, progress.heartbeat(f"downloading {name}"):
            answer = json.loads(
                commands.capture(
                    [go, "mod", "download", "-json", f"golang.org/toolchain@v0.0.1-{name}"],
                    environment={**environment(), "GOFLAGS": "-mod=mod"},
                    directory=Path(nowhere),
                )
            )
        shutil.copytree(answer["Dir"], place, dirs_exist_ok=True, copy_function=shutil.copyfile)
        # Module archives carry no modes: folders come out read-only and programs not executable.
        for directory, _, files in os.walk(place):
            Path(directory).chmod(0o755)
            if Path(directory).name == "bin" or "tool" in Path(directory).parts:
                for file in files:
                    (Path(directory) / file).chmod(0o755)

    progress.say(f"fetching the Go toolchain {TOOLCHAIN}; the machine's own is too old")
    caches.entry("go", name, unpack, what=f"fetching {name}")

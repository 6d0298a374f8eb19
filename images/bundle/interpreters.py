"""The host's own Python, run on the operator's machine: its byte code is what hosts load.

It runs in the machine image's tree with one folder bound to /mnt, in a mount namespace of its own, so the tree stays
as it is and nothing stays mounted.
"""

from pathlib import Path

from components.setup import commands

VERSION = "3.13"
EXECUTABLE = f"/usr/bin/python{VERSION}"

_ENTER = 'mount --bind "$1" "$2/mnt" && cd / && shift && root=$1 && shift && exec chroot "$root" "$@"'


def compile_tree(image: Path, folder: Path, *, shown_as: str) -> None:
    """Byte-compile all modules in `folder`; tracebacks show them below `shown_as`.

    The byte code is never checked against its source (PEP 552, unchecked hashes): a release does not change once it is
    on a host, and start-up is spared a stat for each module. Raises SetupError naming a module that does not compile.
    """
    commands.run(
        [
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-euc",
            _ENTER,
            "sh",
            folder,
            image,
            EXECUTABLE,
            "-I",
            "-m",
            "compileall",
            "-q",
            "-j2",
            "--invalidation-mode=unchecked-hash",
            "-s/mnt",
            f"-p{shown_as}",
            "/mnt",
        ],
        label=f"byte-compiling {folder.name} for Python {VERSION}",
        remedy="see the lines above",
    )

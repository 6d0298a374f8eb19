"""Debian packages that only some roads need; bootstrap.sh installs those that every road needs."""

import os
import shutil
from collections.abc import Sequence

from components.setup import commands
from components.setup.errors import SetupError


def install(names: Sequence[str], *, why: str) -> None:
    """Install Debian packages; raise SetupError where that cannot be: not root, not Debian, no mirror in reach."""
    wanted = " ".join(names)
    if shutil.which("apt-get") is None:
        raise SetupError(f"{why} needs {wanted}", "this machine has no apt-get; install them by its own means")
    if os.geteuid() != 0:
        raise SetupError(f"{why} needs {wanted}", f"run as root: apt-get install {wanted}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    remedy = "see the lines above; is a Debian mirror in reach?"
    options = ("-q", "-o", "DPkg::Lock::Timeout=300")
    commands.run(["apt-get", "update", *options], label="reading package lists", remedy=remedy, environment=environment)
    commands.run(
        ["apt-get", "install", "-y", "--no-install-recommends", *options, *names],
        label=f"installing {wanted}",
        remedy=remedy,
        environment=environment,
    )

"""What is generated is what its definition yields."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_messages_of_etcd_are_current() -> None:
    command = [sys.executable, str(ROOT / "tools/storage_stubs.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0

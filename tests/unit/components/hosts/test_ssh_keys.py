"""One operator's key a lab, however many hosts are created at once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from components.hosts import ssh_keys

_AT_ONCE = 8


def test_all_that_ask_at_once_get_the_same_key(tmp_path: Path) -> None:
    together = Barrier(_AT_ONCE)

    def ask(_: int) -> str:
        together.wait()
        return ssh_keys.ensure(tmp_path / "id_ed25519", "operator")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lines = set(pool.map(ask, range(_AT_ONCE)))
    assert len(lines) == 1
    assert ssh_keys.ensure(tmp_path / "id_ed25519", "operator") in lines
    assert [file.name for file in tmp_path.iterdir()] == ["id_ed25519"]
    assert stat.S_IMODE((tmp_path / "id_ed25519").stat().st_mode) == 0o600

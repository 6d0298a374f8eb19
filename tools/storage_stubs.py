"""Generate the messages of etcd's and KMS's APIs (`keelson/storage/_gen`) from our own definitions, or check them.

python tools/storage_stubs.py          # writes
python tools/storage_stubs.py --check  # exit status 1 where what is written differs
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

TARGET = "keelson/storage/_gen"
ROOT = Path(__file__).resolve().parent.parent / "src"


def generated() -> dict[str, bytes]:
    """File name to content of what the definition yields."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{ROOT}", f"--python_out={folder}", f"--pyi_out={folder}"]
        arguments += [f"{TARGET}/{name}.proto" for name in ("etcd", "kms")]
        if status := protoc.main(arguments):
            raise RuntimeError(f"protoc ended with status {status}")
        return {path.name: path.read_bytes() for path in sorted(Path(folder, TARGET).iterdir())}


def main() -> None:
    """Write, or compare with what is written."""
    folder = ROOT / TARGET
    for name, content in generated().items():
        path = folder / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_bytes() != content:
                sys.exit(f"{path}: differs from its definition; run python tools/storage_stubs.py")
        else:
            path.write_bytes(content)


if __name__ == "__main__":
    main()

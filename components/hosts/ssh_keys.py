"""SSH keys that we make ourselves, so that a host's key is pinned before the host first boots."""

import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components.hosts import files


def pair(comment: str) -> tuple[str, str]:
    """Return a new Ed25519 key as the private key's file and the public key's line, both in OpenSSH's formats."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}\n"


def ensure(path: Path, comment: str) -> str:
    """Return the public key's line of the private key at `path`, made (mode 0600) if it is not there.

    Hosts are created side by side: of several that find no key only one makes it, and all get that one.
    """
    if not path.exists():
        _make(path, comment)
    key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{public.decode()} {comment}\n"


def _make(path: Path, comment: str) -> None:
    private, _ = pair(comment)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    files.write(draft, private, mode=0o600)
    try:
        # Unlike a rename, a link never takes the place of what is there.
        path.hardlink_to(draft)
    except FileExistsError:
        # Another made it meanwhile; that one counts.
        return
    finally:
        draft.unlink()

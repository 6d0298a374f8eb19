"""Short hashes of templates, as labels and name suffixes carry them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Neither vowels nor look-alikes, so that no hash spells a word (as upstream's SafeEncodeString).
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def of(value: Any, *, collisions: int = 0) -> str:
    """Ten characters for a JSON value; another ten for each collision that was met."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":")) + (f"/{collisions}" if collisions else "")
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in hashlib.sha256(text.encode()).digest()[:10])

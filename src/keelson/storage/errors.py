"""What can go wrong in a store. The implementations translate their own exceptions into these, once."""

from __future__ import annotations


class StorageError(Exception):
    """The base of this module's errors."""


class KeyExistsError(StorageError):
    """`create` met a key that is there already."""


class RevisionConflictError(StorageError):
    """The key's revision is not the expected one: it was changed, deleted or made anew since it was read."""


class CompactedError(StorageError):
    """The revision asked for is older than what is kept; `compacted` is the oldest that is, 0 if unknown."""

    def __init__(self, compacted: int = 0) -> None:
        super().__init__(f"the revision has been compacted (oldest kept: {compacted})")
        self.compacted = compacted


class FutureRevisionError(StorageError):
    """The revision asked for has not happened yet."""


class UnavailableError(StorageError):
    """No member of the store answers. A write may or may not have happened where `ambiguous` is true."""

    def __init__(self, message: str, *, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.ambiguous = ambiguous


class FullError(StorageError):
    """The store has no room left. The write may have happened: etcd refuses the one that overflows and keeps it."""


class TransformError(StorageError):
    """A stored value can't be decrypted: no configured key fits, or the value was changed."""


class KeyServiceError(TransformError):
    """The program that keeps the keys does not answer: the value may be readable a moment later."""

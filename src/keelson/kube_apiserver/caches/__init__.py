"""The watch cache: bytes and an index of every object, from which all reads and watches are served."""

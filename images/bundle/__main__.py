"""`python -m images.bundle`: build the release bundle if the cache lacks it, and print its archive's path."""

import sys

from components.setup.errors import SetupError
from images.bundle import archives, sources


def main() -> int:
    """Print the path of the archive on standard output; progress goes to standard error."""
    try:
        bundle = archives.bundle(sources.read())
    except SetupError as error:
        sys.stderr.write(f"keelson: {error}\n")
        return 1
    sys.stdout.write(f"{bundle.archive}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m images.oci`: build the container images that the cache lacks, and print name and archive of each."""

import sys

from components.setup.errors import SetupError
from images.machine import recipes
from images.oci import archives


def main() -> int:
    """Print one line an image on standard output; progress goes to standard error."""
    try:
        recipe = recipes.load()
        for path in archives.definitions():
            image = archives.archive(path, recipe)
            sys.stdout.write(f"{image.name}  {image.path}\n")
    except SetupError as error:
        sys.stderr.write(f"keelson: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

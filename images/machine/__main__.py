"""`python -m images.machine`: build the machine image if the cache lacks it, and print where its tree is."""

import sys

from components.setup.errors import SetupError
from images.machine import recipes, trees


def main() -> int:
    """Print the path of the tree on standard output; progress goes to standard error."""
    try:
        path = trees.tree(recipes.load())
    except SetupError as error:
        sys.stderr.write(f"keelson: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m images.machine [--virtual]`: build the machine image if the cache lacks it, and print where its tree is.

With `--virtual` it is the image of virtual machines, and what is printed is where its disk is.
"""

import argparse
import sys

from components.setup.errors import SetupError
from images.machine import disks, recipes, trees


def main() -> int:
    """Print the path of the tree, or of the disk, on standard output; progress goes to standard error."""
    parser = argparse.ArgumentParser(prog="python -m images.machine", description=__doc__)
    parser.add_argument("--virtual", action="store_true", help="the image of virtual machines")
    virtual = parser.parse_args().virtual
    try:
        path = disks.disk(recipes.load(recipes.VIRTUAL)).root if virtual else trees.tree(recipes.load())
    except SetupError as error:
        sys.stderr.write(f"keelson: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

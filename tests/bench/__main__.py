"""`python -m tests.bench ENV`: what a stack with the settings of ENV costs."""

import sys

from tests.bench import stacks

if __name__ == "__main__":
    sys.exit(stacks.measure(sys.argv[1]))

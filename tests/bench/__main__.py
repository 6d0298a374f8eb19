"""`python -m tests.bench ENV`: what a stack with the settings of ENV costs, and our API server beside upstream's.

BENCH in the environment chooses one of them: `stack`, or `api-server`, whose settings tests/bench/api_servers.py has.
"""

import os
import sys

from tests.bench import api_servers, stacks


def main() -> int:
    """Run the chosen parts; 2 where there is no such part."""
    parts = {"stack": lambda: stacks.measure(sys.argv[1]), "api-server": api_servers.main}
    chosen = os.environ.get("BENCH") or ""
    if chosen and chosen not in parts:
        sys.stderr.write(f"BENCH is one of {', '.join(parts)}\n")
        return 2
    return max([run() for name, run in parts.items() if chosen in ("", name)])


if __name__ == "__main__":
    sys.exit(main())

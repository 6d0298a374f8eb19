"""Runs on a host: tries a command until it succeeds or the time is up; prints how it ended, as JSON.

The argument has the command, the seconds to try, and the units to say more about if it fails.
"""

import json
import subprocess
import sys
import time

PAUSE_SECONDS = 0.3


def attempt(command: str, seconds: float) -> str | None:
    """Run the command once; None if it succeeded, else its last line."""
    try:
        answer = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {seconds:.0f} s"
    if answer.returncode == 0:
        return None
    return (answer.stdout.strip().splitlines() or [f"status {answer.returncode}"])[-1]


def journal(unit: str) -> str:
    """The last line that a unit logged."""
    command = ["journalctl", "--unit", unit, "--lines", "1", "--output", "cat", "--no-pager"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return answer.stdout.strip()


def main() -> None:
    """Try, and tell."""
    argument = json.load(sys.stdin)
    deadline = time.monotonic() + argument["timeout_seconds"]
    while True:
        # A try may take its time, but not beyond the deadline by more than a little.
        reason = attempt(argument["command"], max(5.0, deadline - time.monotonic()))
        if reason is None:
            json.dump({"healthy": True}, sys.stdout)
            return
        if time.monotonic() >= deadline:
            logs = {unit: journal(unit) for unit in argument["units"]}
            json.dump({"healthy": False, "reason": reason, "logs": logs}, sys.stdout)
            return
        time.sleep(PAUSE_SECONDS)


main()

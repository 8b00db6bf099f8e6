"""`python -m tests.listeners`: exit 0 only if the listener does what the contract says."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from tests.listeners.protocol import PROTOCOL
from tests.listeners.run import run
from tests.listeners.situations import SITUATIONS

OURS = f"{sys.executable} -m tests.listeners.python_listener"


def main() -> int:
    """Play the situations, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.listeners", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=PROTOCOL,
        description="The conformance kit for listeners: docs/listener.md, tried on a program in any language.",
    )  # fmt: skip
    parser.add_argument("--command", default=OURS, help="starts the listener under test (default: this package's own)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these situations; see --list")
    parser.add_argument("--list", action="store_true", help="show the situations and end")
    parser.add_argument("--logouts", type=int, default=100_000, help="how many a storm has (default %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="also show the end of the listener's log")
    given = parser.parse_args()
    if given.list:
        for situation in SITUATIONS:
            _say(f"{situation.name:<12}{situation.rules:<20}{(situation.play.__doc__ or '').strip()}")
        return 0
    unknown = set(given.only or ()) - {situation.name for situation in SITUATIONS}
    if unknown:
        parser.error(f"no such situation: {', '.join(sorted(unknown))}")
    chosen = [situation for situation in SITUATIONS if not given.only or situation.name in given.only]
    # The receiver's own log is not what is looked at here.
    logging.disable(logging.CRITICAL)
    return 0 if asyncio.run(run(chosen, given.command, logouts=given.logouts, say=_say, verbose=given.verbose)) else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

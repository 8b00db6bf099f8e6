"""`python -m tests.chaos`: exit 0 only if nothing was lost."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys

from tests.chaos.plan import FAULTS, NETWORK, Plan
from tests.chaos.run import run
from tests.support.needed import LackingError


def main() -> int:
    """Play one plan, print what it showed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--logouts", type=int, default=20_000, help="how many are sent (default %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="how many processes are killed (default %(default)s)")
    parser.add_argument("--failures", type=int, help="how often something else fails (default: half as often)")
    parser.add_argument(
        "--faults", type=_kinds, default=NETWORK,
        help=f"what else may fail, of {','.join(FAULTS)} (default: the network)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=None, help="plays the same plan again (default: a new one)")
    parser.add_argument("--pace", type=float, default=2.0, help="seconds between two strikes (default %(default)s)")
    parser.add_argument("--deadline", type=float, default=3600.0, help="seconds for all of it (default %(default)s)")
    given = parser.parse_args()
    plan = Plan(
        logouts=given.logouts,
        kills=given.kills,
        faults=given.kills // 2 if given.failures is None else given.failures,
        kinds=given.faults,
        seed=secrets.randbelow(1_000_000) if given.seed is None else given.seed,
        pace_s=given.pace,
        deadline_s=given.deadline,
    )
    _say(f"seed {plan.seed}")
    return asyncio.run(_play(plan))


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if not set(kinds) <= set(FAULTS):
        raise argparse.ArgumentTypeError(f"not of {','.join(FAULTS)}")
    return kinds


async def _play(plan: Plan) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        result = await run(plan, say=_say)
    except LackingError as lacking:
        _say(f"{lacking}; leave that out with --faults")
        return 1
    except (TimeoutError, asyncio.CancelledError):
        _say("stopped, or not finished in time")
        return 1
    if result.logs:
        _say(result.logs)
    _say(result.table())
    return 0 if result.good else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

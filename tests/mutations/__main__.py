"""Change one thing in a Lua script, run the tests that are about it, and name each change that no test notices.

    python -m tests.mutations            # every script of the table
    python -m tests.mutations mark date  # these

Each mutant gets a copy of the package; the repository stays as it is. It runs at the lowest priority, and ends with 1
when a mutant survives that `ARGUED` does not name.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutations.lua import Mutant, mutants
from tests.mutations.table import ARGUED, TESTS

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300
"""Seconds for the tests of one mutant. A mutant that takes longer is found out, too."""


def survives(name: str, mutant: Mutant) -> bool:
    """Whether the tests pass with this text in place of the script."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for part in ("receiver", "demo", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / "receiver" / "bus" / "lua" / f"{name}.lua").write_text(mutant.text)
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly"]
        try:
            ran = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *TESTS[name]],
                cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    if ran.returncode not in {0, 1}:
        raise RuntimeError(f"the tests of {name} did not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran.returncode == 0


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"of {', '.join(TESTS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at once (default %(default)s)")
    given = parser.parse_args()
    os.nice(19)
    unexplained = 0
    for name in given.scripts or TESTS:
        script = (ROOT / "receiver" / "bus" / "lua" / f"{name}.lua").read_text()
        if not survives(name, Mutant(0, 0, "nothing", script)):
            raise RuntimeError(f"the tests of {name} fail without a change, too")
        found = list(mutants(script))
        with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
            lives = pool.map(functools.partial(survives, name), found)
            alive = [mutant for mutant, still in zip(found, lives, strict=True) if still]
        sys.stdout.write(f"{name}: {len(found)} mutants, {len(found) - len(alive)} killed\n")
        for mutant in alive:
            why = ARGUED.get((name, mutant.line, mutant.change))
            unexplained += why is None
            sys.stdout.write(f"  {name}.lua:{mutant.line}:{mutant.column}: {mutant.change}: {why or 'NOT NOTICED'}\n")
        sys.stdout.flush()
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

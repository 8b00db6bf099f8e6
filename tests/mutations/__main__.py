"""Change one thing in a pure rule or in a Lua script, run the tests that are about it, and name what no test notices.

    python -m tests.mutations                     # every file of the table
    python -m tests.mutations core/tokens mark    # those whose names contain one of these

The repository stays as it is. What is known from an earlier run is not tried again (`tests.mutations.verdicts`), so a
run that was stopped goes on. It runs at the lowest priority, and ends with 1 when a mutant survives that `ARGUED` does
not name, when `ARGUED` names one that does not, and when a file of the core or a script is not in the table.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.mutations import lua, python, trial
from tests.mutations.argued import ARGUED
from tests.mutations.table import TESTS
from tests.mutations.trial import PACKAGE, Trial
from tests.mutations.verdicts import KEPT_IN, Verdicts, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.mutations.mutant import Mutant

LIMIT_S, LIMIT_TIMES = 60.0, 10
"""What a trial may take of a processor: seconds, and times what the tests take without a change."""


class Run:
    """Every mutant of some files. A plugin of pytest: in place of one run of the tests there are many.

    Args:
        names: Of the files.
        jobs: Trials at once.
        verdicts: Of earlier runs.
    """

    def __init__(self, names: Sequence[str], jobs: int, verdicts: Verdicts) -> None:
        self._jobs = jobs
        self._verdicts = verdicts
        self._texts = {name: (PACKAGE / name).read_text() for name in names}
        self._mutants = {name: mutants_of(name, text) for name, text in self._texts.items()}
        self._names: dict[Mutant, str] = {}
        for name, mutants in self._mutants.items():
            digest = digest_of([PACKAGE / name, *(PACKAGE.parent / test for test in TESTS[name])])
            self._names.update((one, f"{name} {number} {digest}") for number, one in enumerate(mutants))
        self.faults = 0
        self.counts: Counter[str] = Counter()

    def try_imports(self) -> None:
        """Those that need the package imported anew; to be called before anything has imported it."""
        for name in self._mutants:
            untried = self._untried(name, at_import=True)
            if not untried:
                continue
            arguments = [trial.PURE, *TESTS[name]]
            if self._fails(trial.at_import(PACKAGE / name, None, arguments)):
                arguments.remove(trial.PURE)
            self._try([trial.at_import(PACKAGE / name, one, arguments) for one in untried], LIMIT_S, [])

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All the others, and what came of each file."""
        imported = trial.Imported()
        for name in self._mutants:
            untried = self._untried(name, at_import=False)
            if untried:
                before_s = used_s()
                items = [item for item in session.items if item.location[0] in TESTS[name]]
                order = [*range(len(items))]
                made = functools.partial(
                    trial.in_place, imported, PACKAGE / name, self._texts[name], items=items, order=order
                )
                if self._fails(made(mutant=None)):
                    raise RuntimeError(f"the tests of {name} fail without a change, too")
                cpu_s = LIMIT_S + LIMIT_TIMES * (used_s() - before_s)
                self._try([made(mutant=one) for one in untried], cpu_s, order)
            self._tell(name)
        counts = ", ".join(f"{self.counts[word]} {word}" for word in ("mutants", "killed", "argued", "not"))
        say(f"{counts}; {used_s():.0f} s of processor time")
        return True

    def _untried(self, name: str, *, at_import: bool) -> list[Mutant]:
        of_kind = (one for one in self._mutants[name] if one.at_import is at_import)
        return [one for one in of_kind if self._verdicts.killed(self._names[one]) is None]

    @staticmethod
    def _fails(unchanged: Trial) -> bool:
        [(_, failed)] = trial.results([unchanged], jobs=1, cpu_s=LIMIT_S)
        return failed != trial.SURVIVED

    def _try(self, trials: Iterable[Trial], cpu_s: float, order: list[int]) -> None:
        for tried, failed in trial.results(trials, jobs=self._jobs, cpu_s=cpu_s):
            assert tried.mutant is not None
            self._verdicts.note(self._names[tried.mutant], killed=failed != trial.SURVIVED)
            # Most of the next mutants are noticed by the same test.
            if failed < trial.NOTICED and failed - 1 in order:
                order.remove(failed - 1)
                order.insert(0, failed - 1)

    def _tell(self, name: str) -> None:
        lines = self._texts[name].splitlines()
        alive = [one for one in self._mutants[name] if not self._verdicts.killed(self._names[one])]
        alive.sort(key=lambda one: (one.line, one.column))
        places = [(lines[one.line - 1].strip(), one.change) for one in alive]
        argued = ARGUED.get(name, {})
        unnoticed = [one for one, place in zip(alive, places, strict=True) if place not in argued]
        total, left = len(self._mutants[name]), len(alive)
        say(f"{name}: {total} mutants, {total - left} killed, {left - len(unnoticed)} argued, {len(unnoticed)} not")
        for one in unnoticed:
            say(f"  {one.line}:{one.column}: {one.change}: NOT NOTICED in: {lines[one.line - 1].strip()}")
        in_vain = argued.keys() - set(places)
        for line, change in sorted(in_vain):
            say(f"  argued in vain: {change} in: {line}")
        self.faults += len(unnoticed) + len(in_vain)
        self.counts.update(mutants=total, killed=total - left, argued=left - len(unnoticed), **{"not": len(unnoticed)})


def mutants_of(name: str, text: str) -> list[Mutant]:
    """Of one file below `receiver/`."""
    return [*(python.mutants(text, str(PACKAGE / name)) if name.endswith(".py") else lua.mutants(text))]


def files_to_try() -> Iterator[str]:
    """The scripts, and the modules that hold more than names."""
    for file in (*PACKAGE.glob("bus/lua/*.lua"), *PACKAGE.glob("core/**/*.py")):
        name = str(file.relative_to(PACKAGE))
        if mutants_of(name, file.read_text()):
            yield name


def used_s() -> float:
    """Processor time of this process and of those it has started."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def say(line: str) -> None:
    """A line of the report."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of a file's name below receiver/ (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at once (default %(default)s)")
    parser.add_argument("--anew", action="store_true", help="forget what earlier runs have found")
    given = parser.parse_args()
    if given.anew:
        KEPT_IN.unlink(missing_ok=True)
    os.nice(19)
    names = [name for name in TESTS if not given.names or any(part in name for part in given.names)]
    trial.import_libraries()
    run = Run(names, given.jobs, Verdicts(KEPT_IN))
    run.try_imports()
    files = sorted({test for name in names for test in TESTS[name]})
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ended = pytest.main([*trial.OPTIONS, *files], plugins=[run])
    missing = [] if given.names else sorted({*files_to_try()} - TESTS.keys())
    for name in missing:
        say(f"{name}: not in the table")
    if ended:
        raise RuntimeError(f"the tests cannot be collected, or fail without a change:\n{said.getvalue()}")
    return 1 if run.faults or missing else 0


if __name__ == "__main__":
    sys.exit(main())

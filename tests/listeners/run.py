"""Play situations with one listener, and show what came of them."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.listeners.kit import kit_in
from tests.listeners.wrong import MissingError, WrongError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.listeners.situations import Situation

Outcome = Literal["ok", "WRONG", "not tried"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one situation showed.

    Attributes:
        situation: Which.
        outcome: `not tried` where this machine lacks something.
        said: Figures, or what was wrong.
        seconds: How long it took.
        log: The end of the listener's log, where something was wrong.
    """

    situation: Situation
    outcome: Outcome
    said: str
    seconds: float
    log: tuple[str, ...] = ()

    def line(self) -> str:
        """For the table."""
        name, rules = self.situation.name, self.situation.rules
        return f"{self.outcome:<10}{name:<12}{rules:<20}{self.seconds:6.1f} s  {self.said}"


async def play(
    situation: Situation, command: str, *, logouts: int, environment: Mapping[str, str] | None = None
) -> Row:
    """One situation, in a world of its own."""
    began = time.monotonic()
    log: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="listener-kit-") as directory:
        try:
            async with kit_in(
                Path(directory), command, logouts=logouts, environment=environment, steps=situation.steps,
                receives=situation.receives,
            ) as kit:  # fmt: skip
                try:
                    await situation.play(kit)
                except WrongError:
                    log = tuple(kit.listener.log[-20:]) if kit.has_listener else ()
                    raise
            outcome, said = "ok", ", ".join(kit.notes)
        except WrongError as wrong:
            outcome, said = "WRONG", str(wrong)
        except MissingError as missing:
            outcome, said = "not tried", str(missing)
    return Row(situation, outcome, said, time.monotonic() - began, log)  # type: ignore[arg-type]


async def run(
    situations: Iterable[Situation], command: str, *, logouts: int, say: Callable[[str], None], verbose: bool = False
) -> bool:
    """All of these, one after another; whether nothing was wrong."""
    rows = []
    for situation in situations:
        row = await play(situation, command, logouts=logouts)
        say(row.line())
        for line in row.log if verbose else ():
            say(f"    {line}")
        rows.append(row)
    wrong, untried = (sum(row.outcome == outcome for row in rows) for outcome in ("WRONG", "not tried"))
    say(f"{len(rows)} situations: {len(rows) - wrong - untried} as the contract says, {wrong} not, {untried} not tried")
    return wrong == 0

"""The situations: what happens, and what a listener has to do then. Each row names the rules it is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.listeners import loads, logouts, losses, orders, outages, questions, signs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.listeners.kit import Kit


@dataclass(frozen=True, slots=True)
class Situation:
    """One row of the table.

    Attributes:
        name: For `--only`; also the name of the fault planted in the kit's own listener that makes it fail.
        rules: The contract's numbers.
        play: Raises WrongError where the listener does something else.
        steps: Whether Redis's clock is stepped.
        receives: Whether a receiver runs from the start.
    """

    name: str
    rules: str
    play: Callable[[Kit], Awaitable[None]]
    steps: bool = False
    receives: bool = True


SITUATIONS = (
    Situation("logout", "L4 L6 L7", logouts.logout),
    Situation("one-client", "L5", logouts.one_client),
    Situation("pairwise", "L6", logouts.pairwise),
    Situation("marks", "M1 M2 M3 M4 R4 R5", logouts.marks),
    Situation("order", "R5", orders.order),
    Situation("anew", "R3 R4 T2", orders.anew),
    Situation("overtaken", "Q5", logouts.overtaken),
    Situation("refresh", "T1 T2", logouts.refresh),
    Situation("renewed", "T2", logouts.renewed),
    Situation("restart", "Q1 Q2", losses.restart),
    Situation("gap", "S4 S6", losses.gap),
    Situation("older-data", "S5 S6 K2", losses.older_data),
    Situation("swapped", "S5 K2", losses.swapped),
    Situation("empty-data", "E1 E2 E3", losses.empty_data),
    Situation("emptied", "E3", losses.emptied, receives=False),
    Situation("upgrade", "E4", losses.upgrade, receives=False),
    Situation("clock", "S2", losses.clock, steps=True),
    Situation("malformed", "B1 B2 B3", signs.malformed),
    Situation("no-rights", "A1 A2", signs.no_rights),
    Situation("log", "U2 H1", signs.log),
    Situation("proof", "P1 P2 P4", signs.proof),
    Situation("burst", "P1", signs.burst),
    Situation("deaf", "P3", signs.deaf),
    Situation("unheard", "Q3 U2", questions.unheard),
    Situation("account", "Q3", questions.account),
    Situation("start", "U1 U2", outages.start),
    Situation("choice", "U2", outages.choice),
    Situation("silent", "W1 W2", outages.silent),
    Situation("demoted", "W4", outages.demoted),
    Situation("hung-redis", "W1 W3 U2", outages.hung_redis),
    Situation("hung-cache", "C1 C2 C3", outages.hung_cache),
    Situation("crowd", "C1", outages.crowd),
    Situation("storm", "K1 K2", loads.storm),
    Situation("backlog", "S1 L2 Q3", loads.backlog),
    Situation("known", "Q3 Q4", loads.known),
    Situation("speed", "S3", loads.speed),
)

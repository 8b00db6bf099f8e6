"""What the caches are cleared with, for a logout and for a value that was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.bus.caches.awaited import AwaitedSignIns
    from receiver.bus.caches.removals import Removals
    from receiver.evictor.bad_values import BadValues
    from receiver.evictor.caches import Caches
    from receiver.ops.evictor_metrics import EvictorMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """What `Evictor` and `Examiner` have in common.

    Attributes:
        caches: As configured.
        removals: Where it is noted what was removed, and known which marks there are.
        awaited: Where new sign-ins are waited for.
        metrics: Counts.
        bad: Counts what cannot be judged.
        revoke: Called with tenant, client and refresh token, for each that was removed.
        skew_s: Seconds the clocks of OP, receiver and apps may differ.
    """

    caches: Caches
    removals: Removals
    awaited: AwaitedSignIns
    metrics: EvictorMetrics
    bad: BadValues
    revoke: Callable[[str, str, str], None]
    skew_s: float

"""Which of the evictions that a worker knows of is next: pure bookkeeping, without I/O.

Evictions belong to flows: those of one tenant, input, client and reason that came in within the same second. Turns go
round among tenants, among the inputs of each, and so on down to the seconds, so that a storm holds up no other order,
however many tenants, clients or seconds it comes from. Evictions that share a subject, a session or an account keep
their order.

Beside those in hand there are evictions *ahead*: they are in the stream, and not given to any worker yet. A lone one of
these, being of a small flow, has its turn before it is given: else it would wait behind the whole storm.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from receiver.core.eviction import EVENT_TYPE, Eviction

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable


Flow = tuple["Hashable", ...]
"""Tenant, input, what else those of one batch have in common, second: turns go round at each step of this way."""

SMALL = 32
"""Evictions of one flow, in hand and ahead, up to which those ahead have their turn before they are given."""

IN_HAND_TURNS = 3
"""Turns of evictions in hand between two of those ahead, which other workers may do once more."""

_OF_BATCH = ("origin", "client_id", "reason")
"""Members of an event that those of one flow have in common, beside tenant, input and second."""


def flow_of(eviction: Eviction) -> Flow:
    """What the eviction is one of many of."""
    batch = tuple(getattr(eviction, name) for name in _OF_BATCH)
    return (eviction.tenant, eviction.input, batch, int(eviction.received_at))


def names_of(eviction: Eviction) -> tuple[int, ...]:
    """Hashes of its subject, session and accounts."""
    return _hashes(eviction.iss, eviction.sub, eviction.sid, eviction.accounts)


def _hashes(iss: str, sub: str | None, sid: str | None, accounts: Iterable[str]) -> tuple[int, ...]:
    named = [(kind, iss, value) for kind, value in (("sub", sub), ("sid", sid)) if value]
    return tuple(dict.fromkeys(map(hash, (*named, *(("account", account) for account in accounts)))))


def outline(event: bytes) -> tuple[Flow, tuple[int, ...]] | None:
    """Flow and names of an event that is ahead, without reading all of it; None where it has none.

    Every worker looks at every event that is ahead, and only one of them will have to carry it out.
    """
    try:
        event_type, time, data = map(json.loads(event).get, ("type", "time", "data"))
        if event_type != EVENT_TYPE:
            return None
        batch = tuple(map(data.get, _OF_BATCH))
        flow = (data.get("tenant"), data.get("input"), batch, int(datetime.fromisoformat(time).timestamp()))
        hash(flow)
        return flow, _hashes(data["iss"], data["sub"], data["sid"], data["accounts"])
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        return None


@dataclass(slots=True)
class _Size:
    """Evictions of one flow.

    Attributes:
        flow: Which.
        known: How many are known and not done.
        ever: How many were known since any was.
    """

    flow: Flow
    known: int = 0
    ever: int = 0


@dataclass(slots=True)
class _Waiting:
    """One eviction: where it belongs, how many of its names an earlier one has, whether it is in hand or worked on."""

    of: _Size
    names: tuple[int, ...]
    in_hand: bool
    blocked_by: int = 0
    is_worked_on: bool = False


class _Ready:
    """Ids by flow; each step of a flow takes turns with its like."""

    def __init__(self) -> None:
        self._tree: dict[Hashable, Any] = {}

    def add(self, flow: Flow, entry_id: str) -> None:
        """Behind those of its flow."""
        branch, last = self._tree, flow[-1]
        for step in flow[:-1]:
            branch = branch.setdefault(step, {})
        branch.setdefault(last, deque()).append(entry_id)

    def take(self, may: Callable[[str], bool]) -> str | None:
        """The next one that may have a turn; those before it that may not are forgotten."""
        return _take(self._tree, may)


def _take(branch: dict[Hashable, Any] | deque[str], may: Callable[[str], bool]) -> str | None:
    while branch:
        if isinstance(branch, deque):
            taken: str | None = branch.popleft()
            taken = taken if taken is not None and may(taken) else None
        else:
            # The first one goes to the end: that is what turns are.
            step = next(iter(branch))
            below = branch.pop(step)
            taken = _take(below, may)
            if below:
                branch[step] = below
        if taken is not None:
            return taken
    return None


class Flows:
    """Gives turns. Evictions are named by the ids of their stream entries.

    Attributes:
        in_hand: How many are, those that are worked on included.
    """

    def __init__(self) -> None:
        self.in_hand = 0
        self._known: dict[str, _Waiting] = {}
        # Lists, of one most often: a hundred thousand may be known.
        self._of_name: dict[int, list[str]] = {}
        self._in_hand, self._ahead = _Ready(), _Ready()
        self._sizes: dict[Flow, _Size] = {}
        self._turns = 0

    def __contains__(self, entry_id: str) -> bool:
        """Whether it is known and not done."""
        return entry_id in self._known

    def add(self, entry_id: str, eviction: Eviction, *, in_hand: bool) -> None:
        """One more: after all that are known, and one in hand before those that are ahead only."""
        self.add_outline(entry_id, flow_of(eviction), names_of(eviction), in_hand=in_hand)

    def add_outline(self, entry_id: str, flow: Flow, names: tuple[int, ...], *, in_hand: bool) -> None:
        """As `add`, of one that is not read as a whole."""
        size = self._sizes.setdefault(flow, _Size(flow))
        size.known += 1
        size.ever += 1
        waiting = self._known[entry_id] = _Waiting(size, names, in_hand)
        for name in names:
            queue = self._of_name.setdefault(name, [])
            place = self._place(queue) if in_hand else len(queue)
            if place:
                waiting.blocked_by += 1
            elif queue:
                self._known[queue[0]].blocked_by += 1
            queue.insert(place, entry_id)
        self.in_hand += in_hand
        if not waiting.blocked_by:
            self._make_ready(entry_id, waiting)

    def given(self, entry_id: str) -> None:
        """One that was ahead is in hand now."""
        waiting = self._known[entry_id]
        if not waiting.in_hand:
            waiting.in_hand = True
            self.in_hand += 1
            if not waiting.blocked_by and not waiting.is_worked_on:
                self._make_ready(entry_id, waiting)

    def take(self) -> tuple[str, bool] | None:
        """The next one to work on and whether it is in hand; None when all that are known wait for others."""
        self._turns += 1
        order = (False, True) if self._turns % (IN_HAND_TURNS + 1) == 0 else (True, False)
        for in_hand in order:
            found = self._in_hand.take(self._may_in_hand) if in_hand else self._ahead.take(self._may_ahead)
            if found is not None:
                self._known[found].is_worked_on = True
                return found, in_hand
        return None

    def done(self, entry_ids: Iterable[str]) -> None:
        """These are done, or another worker's; those that waited for them may have their turn."""
        for entry_id in entry_ids:
            waiting = self._known.pop(entry_id, None)
            if waiting is None:
                continue
            self.in_hand -= waiting.in_hand
            waiting.of.known -= 1
            if not waiting.of.known:
                del self._sizes[waiting.of.flow]
            for name in waiting.names:
                self._leave(name, entry_id)

    def _place(self, queue: list[str]) -> int:
        """Behind those in hand or worked on. One that is ahead may wait for this worker to take more in hand."""
        for place, entry_id in enumerate(queue):
            if not (self._known[entry_id].in_hand or self._known[entry_id].is_worked_on):
                return place
        return len(queue)

    def _leave(self, name: int, entry_id: str) -> None:
        queue = self._of_name[name]
        was_first = queue[0] == entry_id
        queue.remove(entry_id)
        if not queue:
            del self._of_name[name]
        elif was_first:
            following = self._known[queue[0]]
            following.blocked_by -= 1
            if not following.blocked_by:
                self._make_ready(queue[0], following)

    def _make_ready(self, entry_id: str, waiting: _Waiting) -> None:
        if waiting.in_hand:
            self._in_hand.add(waiting.of.flow, entry_id)
        elif waiting.of.ever <= SMALL:
            # A flow that has grown larger is no lone order: it has its turn when it is given.
            self._ahead.add(waiting.of.flow, entry_id)

    def _may_in_hand(self, entry_id: str) -> bool:
        waiting = self._known.get(entry_id)
        return waiting is not None and waiting.in_hand and self._is_free(waiting)

    def _may_ahead(self, entry_id: str) -> bool:
        waiting = self._known.get(entry_id)
        return waiting is not None and not waiting.in_hand and waiting.of.ever <= SMALL and self._is_free(waiting)

    @staticmethod
    def _is_free(waiting: _Waiting) -> bool:
        return not waiting.blocked_by and not waiting.is_worked_on

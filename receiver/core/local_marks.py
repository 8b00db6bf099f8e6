"""A process's own copy of recent marks, built from the events it hears: a request-time check without the network."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from receiver.core.marks import CLOCK_SKEW_S, Source, is_ended

if TYPE_CHECKING:
    from receiver.core.eviction import Eviction
    from receiver.core.sign_in import SignIn

MAX_MARKS = 100_000
"""Marks kept, about 30 MB at worst; then the oldest tenth gives way, and Redis still has them."""


@dataclass(frozen=True, slots=True)
class _Mark:
    logout_at: float
    source: Source
    client_id: str | None
    sub: str | None
    heard_at: float


class Heard(NamedTuple):
    """What the evictions heard say about a session.

    Attributes:
        answer: `ended`; or `ask` when they name it but only the registry can tell the session's user or which user the
            logout was for.
        at: When the last of them was heard.
    """

    answer: Literal["ended", "ask"]
    at: float


class LocalMarks:
    """What the evictions heard so far say about a session. Pure: no clock, no I/O.

    Args:
        skew_s: Seconds the clocks of OP and receiver may differ.
    """

    def __init__(self, *, skew_s: float = CLOCK_SKEW_S) -> None:
        self._marks: OrderedDict[tuple[str, str, str], _Mark] = OrderedDict()
        self._skew_s = skew_s

    @property
    def is_full(self) -> bool:
        """Whether there are so many that `give_way` is due."""
        return len(self._marks) > MAX_MARKS

    def give_way(self) -> None:
        """Forget the oldest tenth: sessions they ended are not named any more."""
        for _ in range(MAX_MARKS // 10):
            self._marks.popitem(last=False)

    def note(self, eviction: Eviction, *, now: float) -> None:
        """Remember one eviction.

        Args:
            eviction: As it was heard.
            now: When that was.
        """
        # BCL §2.7: a `sid` names one session at its issuer. Kept also where the whole user is meant: at another client
        # the same session may have another `sub` (pairwise).
        if eviction.sid is not None:
            self._keep(("sid", eviction.iss, eviction.sid), eviction, eviction.sub, now)
        if eviction.scope == "user":
            if eviction.sub is not None:
                self._keep(("sub", eviction.iss, eviction.sub), eviction, None, now)
            for account in eviction.accounts:
                self._keep(("account", eviction.iss, account), eviction, None, now)

    def judge(self, sign_in: SignIn) -> Heard | None:
        """Whether the evictions heard end this session; None when none names it, or it is later by its dates."""
        found: Heard | None = None
        iss = sign_in.iss
        for kind, value in (("sid", sign_in.sid), ("sub", sign_in.sub), ("account", sign_in.home_account_id)):
            mark = self._marks.get((kind, iss, value)) if value else None
            if mark is None or not is_ended(
                mark.source, mark.logout_at, sign_in.beginning, of_user=kind != "sid", skew_s=self._skew_s
            ):
                continue
            # Core §2, BCL §2.4: one `sid` may be of two subjects at two clients (pairwise `sub`); the registry tells.
            foreign_client = mark.client_id is not None and mark.client_id not in sign_in.client_ids
            foreign_user = mark.sub is not None and mark.sub != sign_in.sub
            ends = not foreign_client and not foreign_user
            at = mark.heard_at if found is None else max(mark.heard_at, found.at)
            found = Heard("ended" if ends or (found is not None and found.answer == "ended") else "ask", at)
        return found

    def _keep(self, key: tuple[str, str, str], eviction: Eviction, sub: str | None, now: float) -> None:
        before = self._marks.pop(key, None)
        client_id = eviction.client_id if eviction.applies_to == "client" else None
        mark = _Mark(eviction.logout_at, eviction.source, client_id, sub, now)
        if before is not None:
            # Two logouts of one name: what both may mean is left to Redis unless they agree.
            same = (before.client_id, before.sub) == (client_id, sub)
            # Where they do not agree the empty text takes the place of both: it equals no client and no user.
            later = max(before, mark, key=lambda one: one.logout_at)
            mark = _Mark(
                later.logout_at,
                later.source,
                client_id if same else "",
                sub if same else "",
                now,
            )
        self._marks[key] = mark

"""A process's own copy of recent marks, built from the events it hears: a request-time check without the network."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from receiver.core.marks import is_ended

if TYPE_CHECKING:
    from receiver.core.eviction import Eviction
    from receiver.core.sign_in import SignIn

MAX_MARKS = 100_000
"""Marks kept, about 30 MB at worst; then the oldest tenth gives way, and Redis still has them."""

Answer = Literal["ended", "ask", "unknown"]


@dataclass(frozen=True, slots=True)
class _Mark:
    logout_at: float
    client_id: str | None
    sub: str | None


class LocalMarks:
    """What the evictions heard so far say about a session. Pure: no clock, no I/O."""

    def __init__(self) -> None:
        self._marks: OrderedDict[tuple[str, str, str], _Mark] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether there are so many that `give_way` is due."""
        return len(self._marks) > MAX_MARKS

    def give_way(self) -> None:
        """Forget the oldest tenth: sessions they ended are `unknown` from now on."""
        for _ in range(MAX_MARKS // 10):
            self._marks.popitem(last=False)

    def note(self, eviction: Eviction) -> None:
        """Remember one eviction."""
        if eviction.sid is not None:
            self._keep(("sid", eviction.iss, eviction.sid), eviction, eviction.sub)
        if eviction.scope == "user":
            if eviction.sub is not None:
                self._keep(("sub", eviction.iss, eviction.sub), eviction, None)
            for account in eviction.accounts:
                self._keep(("account", eviction.iss, account), eviction, None)

    def judge(self, sign_in: SignIn) -> Answer:
        """Whether the evictions heard end this session.

        Returns:
            `ended`; `ask` when they name it but only the registry can tell whose session it is or whom the
            logout was for; `unknown` when none names it.
        """
        answer: Answer = "unknown"
        began_at = sign_in.latest_beginning
        for kind, value, began in (
            ("sid", sign_in.sid, sign_in.auth_time),
            ("sub", sign_in.sub, began_at),
            ("account", sign_in.home_account_id, began_at),
        ):
            mark = self._marks.get((kind, sign_in.iss, value)) if value else None
            if mark is None or not is_ended(mark.logout_at, began):
                continue
            foreign_client = mark.client_id is not None and mark.client_id not in sign_in.client_ids
            foreign_user = mark.sub is not None and mark.sub != sign_in.sub
            if not foreign_client and not foreign_user:
                return "ended"
            answer = "ask"
        return answer

    def _keep(self, key: tuple[str, str, str], eviction: Eviction, sub: str | None) -> None:
        before = self._marks.pop(key, None)
        client_id = eviction.client_id if eviction.applies_to == "client" else None
        mark = _Mark(eviction.logout_at, client_id, sub)
        if before is not None:
            # Two logouts of one name: what both may mean is left to Redis unless they agree.
            same = (before.client_id, before.sub) == (client_id, sub)
            mark = _Mark(
                max(before.logout_at, eviction.logout_at),
                client_id if same else "",
                sub if same else "",
            )
        self._marks[key] = mark

"""Faults planted in this package's listener, one for each situation: the kit must fail for each of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from receiver.bus.events import stream
from receiver.bus.link import servers
from receiver.bus.sign_ins import registry
from receiver.consumer import acks, clearing, guard, knowledge, questions, reader, sessions, subscriber
from receiver.core import local_marks, marks, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable


def plant(name: str) -> None:
    """Do this one thing wrong from now on; those of `refresh`, `renewed` and `choice` are in the driver itself."""
    FAULTS[name]()
    if name in BELIEVING:
        _believe_while_deaf()


def _ignore_sessions() -> None:
    note = knowledge.Knowledge.note

    def of_users(self: knowledge.Knowledge, eviction: Any) -> None:
        if eviction.scope == "user":
            note(self, eviction)

    knowledge.Knowledge.note = of_users  # type: ignore[method-assign]


def _ignore_clients() -> None:
    local_marks.LocalMarks._keep = _keep_for_all  # type: ignore[method-assign]


def _keep_for_all(self: Any, key: Any, eviction: Any, _: Any, now: float) -> None:
    self._marks[key] = local_marks._Mark(eviction.logout_at, eviction.source, None, None, now)


def _ignore_other_subs() -> None:
    judge = local_marks.LocalMarks.judge

    def of_this_sub(self: Any, session: Any) -> Any:
        found = judge(self, session)
        return None if found is not None and found.answer == "ask" else found

    local_marks.LocalMarks.judge = of_this_sub  # type: ignore[method-assign]


def _orders_as_logouts() -> None:
    def is_ended(_: Any, logout_at: float, began: Any, **how: Any) -> bool:
        return marks.is_ended(marks.Source.OP, logout_at, began, **how)

    sign_in.is_ended = local_marks.is_ended = is_ended  # type: ignore[attr-defined]


def _nothing_is_anew() -> None:
    real = sign_in.SignIn.is_ended_by

    def is_ended_by(self: Any, values: Any, **how: Any) -> bool:
        return real(self, values, **{**how, "newer_than": None})

    sign_in.SignIn.is_ended_by = is_ended_by  # type: ignore[method-assign]


def _other_suffix() -> None:
    marks.client_suffix = lambda client_id: f".{client_id}"


def _begin_unasked() -> None:
    async def sign_in_unasked(*_: Any, **__: Any) -> str:
        return "live"

    guard.Guard.sign_in = sign_in_unasked  # type: ignore[method-assign, assignment]


def _never_ask() -> None:
    async def live(*_: Any) -> registry.Look:
        return registry.Look(ended=False, newer=False, has_epoch=True)

    sessions.Registry.look = live  # type: ignore[method-assign]


def _believe_after_a_gap() -> None:
    knowledge.Knowledge.forget = lambda _: None  # type: ignore[method-assign]


def _never_doubt() -> None:
    async def never(_: Any) -> bool:
        return False

    stream.StreamReader.lost = never  # type: ignore[method-assign]


def _doubt_only_broken_connections() -> None:
    read = stream.StreamReader.read

    async def trusting(self: Any, **how: Any) -> Any:
        entries = await read(self, **how)
        self._checked = True
        return entries

    stream.StreamReader.read = trusting  # type: ignore[method-assign]


def _believe_at_once() -> None:
    begin = knowledge.Knowledge.__init__

    def trusting(self: Any, **given: Any) -> None:
        begin(self, **given)
        self._in_doubt = False

    knowledge.Knowledge.__init__ = trusting  # type: ignore[method-assign]


def _believe_while_deaf() -> None:
    knowledge.STALE_AFTER_S = float("inf")


def _never_ask_again() -> None:
    knowledge.ASK_AGAIN_AFTER_S = float("inf")


def _no_epoch() -> None:
    sign_in.SignIn.began_before = lambda *_, **__: False  # type: ignore[method-assign]


def _lost_without_epoch() -> None:
    sign_in.SignIn.began_before = lambda _, epoch, **__: epoch is None  # type: ignore[method-assign]


def _begin_at_a_time() -> None:
    start = stream.StreamReader.start

    async def at_a_time(self: stream.StreamReader, position: str) -> None:
        await start(self, position)
        assert self.cursor is not None
        # What `$` and a time have in common: it is where Redis's clock is.
        now_s, _ = await self._client.time()
        self.cursor = self.cursor.after(f"{int(now_s) * 1000}-0", self.cursor.number)
        self.cursor = type(self.cursor)(self.cursor.entry_id)

    async def never(_: Any) -> bool:
        return False

    stream.StreamReader.start = at_a_time  # type: ignore[method-assign]
    stream.StreamReader.lost = never  # type: ignore[method-assign]


def _end_at_a_bad_entry() -> None:
    def give_up(*_: Any) -> None:
        raise RuntimeError("a bad entry")

    reader.Reader._skip = give_up  # type: ignore[method-assign]


def _say_nothing_of_rights() -> None:
    guard.Guard._tell = lambda *_: None  # type: ignore[method-assign]


def _say_no_choice() -> None:
    guard.Guard._say_choice = lambda _: None  # type: ignore[method-assign]


def _acknowledge_all_at_once() -> None:
    acks.MAX_BATCH = acks.MAX_WAITING


def _acknowledge_nothing() -> None:
    acks.Acknowledger.add = lambda *_: None  # type: ignore[method-assign]


def _heartbeats_beside() -> None:
    reader.Reader._reads = lambda _: True  # type: ignore[method-assign]


def _live_before_the_first_answer() -> None:
    async def ask(self: Any, given: Any, question: Any) -> str:
        answer = await real(self, given, question)
        return "live" if answer == "unknown" else answer

    real = guard.Guard._ask
    guard.Guard._ask = ask  # type: ignore[method-assign, assignment]


def _wait_for_ever() -> None:
    connect = reader.connection.connect

    def patient(url: str, **options: Any) -> Any:
        return connect(url, **{**options, "timeout_s": 3600.0})

    reader.connection.connect = patient  # type: ignore[assignment]


def _believe_replicas() -> None:
    async def unasked(_: Any) -> None:
        return

    stream.StreamReader._be_at_primary = unasked  # type: ignore[method-assign]
    servers.is_demotion = lambda _: False


def _questions_without_limit() -> None:
    _wait_for_ever()
    questions.TIMEOUT_S = sessions.TIMEOUT_S = 3600.0


def _clear_while_reading() -> None:
    async def handle(self: Any, entry: Any) -> bool:
        eviction = entry.eviction()
        self._handler(eviction)
        handled: bool = await self._call(self._on_eviction, eviction)
        if handled:
            self._acks.add(eviction, entry)
        return handled

    clearing.RefusingSubscriber._handle = handle  # type: ignore[method-assign]


def _clear_one_by_one() -> None:
    clearing.AT_ONCE = 1


def _forget_what_is_over() -> None:
    local_marks.MAX_MARKS = 100
    knowledge.Knowledge._remember = lambda *_: None  # type: ignore[method-assign]


def _hear_at_each_entry() -> None:
    take = subscriber.Subscriber._take

    async def hearing(self: Any, entry: Any) -> None:
        await take(self, entry)
        self.pulse.heard()

    subscriber.Subscriber._take = hearing  # type: ignore[method-assign]


def _keep_nothing() -> None:
    knowledge.Knowledge.learn = lambda *_, **__: None  # type: ignore[method-assign]


def _poll() -> None:
    async def later(self: Any, *, block_ms: int, count: int = 100) -> Any:
        await asyncio.sleep(0.25 if block_ms > 1 else 0)
        return await read(self, block_ms=1, count=count)

    read = stream.StreamReader.read
    stream.StreamReader.read = later  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "logout": _ignore_sessions,
    "one-client": _ignore_clients,
    "pairwise": _ignore_other_subs,
    "marks": _other_suffix,
    "order": _orders_as_logouts,
    "anew": _nothing_is_anew,
    "overtaken": _begin_unasked,
    "refresh": lambda: None,
    "renewed": lambda: None,
    "restart": _never_ask,
    "gap": _believe_after_a_gap,
    "older-data": _never_doubt,
    "swapped": _doubt_only_broken_connections,
    "empty-data": _no_epoch,
    "emptied": _believe_at_once,
    "upgrade": _lost_without_epoch,
    "clock": _begin_at_a_time,
    "malformed": _end_at_a_bad_entry,
    "no-rights": _say_nothing_of_rights,
    "log": _say_no_choice,
    "proof": _acknowledge_nothing,
    "burst": _acknowledge_all_at_once,
    "deaf": _heartbeats_beside,
    "unheard": _believe_while_deaf,
    "account": _never_ask_again,
    "start": _live_before_the_first_answer,
    "choice": lambda: None,
    "silent": _wait_for_ever,
    "demoted": _believe_replicas,
    "hung-redis": _questions_without_limit,
    "hung-cache": _clear_while_reading,
    "crowd": _clear_one_by_one,
    "storm": _forget_what_is_over,
    "backlog": _hear_at_each_entry,
    "known": _keep_nothing,
    "speed": _poll,
}
"""Situation to the fault that it must notice."""

BELIEVING = {"logout", "pairwise", "gap", "emptied", "account"}
"""Faults by which it believes what it knew before. Held up for a moment it would ask Redis, and be right by luck."""

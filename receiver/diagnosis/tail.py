"""`receiver tail`: print evictions as they are published."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.events.stream import END, NO_NUMBER, Entry, StreamReader
from receiver.bus.link.connection import Failure, describe
from receiver.core.cursor import Cursor
from receiver.diagnosis.claim_text import instant
from receiver.diagnosis.terminal import dump, plain
from receiver.errors import BadEventError, ConfigurationError
from receiver.ops.redis_settings import EMBEDDED
from receiver.tasks import leave_if_cancelled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from receiver.core.eviction import Eviction
    from receiver.ops.settings import Settings

BLOCK_MS = 5000
"""Milliseconds one read waits for news."""

RECONNECT_S = 1.0
"""Seconds between two attempts to reach Redis."""

HEADER = f"{'PUBLISHED':<24} {'TENANT':<12} {'INPUT':<12} {'SCOPE':<7} {'CLIENT':<20} {'EVENT ID':<32} {'DELAY':>8}"


@dataclass(frozen=True, slots=True)
class Line:
    """What is printed for one stream entry.

    Attributes:
        entry: The entry.
        eviction: Its event; None when it cannot be read.
        missed: Entries that are known to be trimmed or lost right before it.
        problem: What is wrong with the entry; empty when nothing is.
    """

    entry: Entry
    eviction: Eviction | None
    missed: int
    problem: str = ""

    @property
    def published_at(self) -> float:
        """NumericDate seconds on Redis's clock."""
        return int(self.entry.entry_id.partition("-")[0]) / 1000

    @property
    def delay_s(self) -> float | None:
        """Seconds from the logout, on the OP's clock, to publication; None when the event cannot be read."""
        return None if self.eviction is None else round(self.published_at - self.eviction.logout_at, 3)


async def tail(
    settings: Settings, *, begin: Callable[[], None], write: Callable[[Line], None], warn: Callable[[str], None]
) -> None:
    """Hand every eviction published from now on to `write`, until cancelled; outages are waited out.

    Args:
        settings: The service's.
        begin: Called once, before anything is read.
        write: Called for each entry, in order.
        warn: Called with one line when Redis goes away.

    Raises:
        ConfigurationError: the settings name no Redis that others could publish to.
    """
    if settings.redis.url == EMBEDDED:
        raise ConfigurationError("redis.url is embedded: that Redis is another process's own; set redis.url to follow")
    begin()
    async for line in follow(settings, warn):
        write(line)


async def follow(settings: Settings, warn: Callable[[str], None]) -> AsyncGenerator[Line]:
    """Every entry published from now on; `warn` gets one line for each outage."""
    away = False
    async with settings.redis.opened(timeout_s=settings.redis.timeout_s + BLOCK_MS / 1000) as client:
        stream = StreamReader(client, settings.redis.key_names)
        while True:
            leave_if_cancelled()
            try:
                if stream.cursor is None:
                    await stream.start(END)
                elif await stream.lost():
                    warn(
                        "evictions were missed: Redis has lost its data, or they were trimmed before they could be read"
                    )
                entries = await stream.read(block_ms=BLOCK_MS)
            except Failure as error:
                stream.doubt()
                if not away:
                    warn(f"cannot read the event stream: {describe(error)}; trying again every {RECONNECT_S:g} s")
                away = True
                await asyncio.sleep(RECONNECT_S)
                continue
            away = False
            for entry in entries or ():
                yield to_line(entry, stream.cursor or Cursor())
                stream.take(entry)


def to_line(entry: Entry, cursor: Cursor) -> Line:
    """What to print for an entry.

    Args:
        entry: As read.
        cursor: Where the reader was before it.
    """
    missed = cursor.missing_before(entry.number)
    try:
        eviction = entry.eviction()
    except BadEventError as error:
        return Line(entry, None, missed, error.message)
    return Line(entry, eviction, missed, NO_NUMBER if entry.number is None else "")


def to_json(line: Line, *, show_subject: bool) -> str:
    """The documented shape, one object on one line."""
    eviction = line.eviction
    shown: dict[str, object] = {
        "entry_id": line.entry.entry_id,
        "published_at": line.published_at,
        "missed": line.missed,
        "readable": eviction is not None,
        "problem": line.problem or None,
    }
    if eviction is not None:
        shown |= {
            "id": eviction.id,
            "tenant": eviction.tenant,
            "iss": eviction.iss,
            "client_id": eviction.client_id,
            "input": eviction.input,
            "scope": eviction.scope,
            "applies_to": eviction.applies_to,
            "logout_at": eviction.logout_at,
            "delay_s": line.delay_s,
        }
        if show_subject:
            shown |= {"sub": eviction.sub, "sid": eviction.sid}
    return dump(shown)


def to_text(line: Line, *, show_subject: bool) -> str:
    """One line in the columns of `HEADER`, and one before it when entries were missed."""
    before = f"! {line.missed} evictions were trimmed before they could be read\n" if line.missed else ""
    time = instant(line.published_at, "milliseconds")
    eviction = line.eviction
    if eviction is None:
        return f"{before}! entry {line.entry.entry_id} is skipped: {line.problem}"
    columns = (
        f"{time:<24} {eviction.tenant:<12} {eviction.input:<12} {eviction.scope:<7} {eviction.client_id or '-':<20} "
        f"{eviction.id:<32} {line.delay_s or 0:>6.1f} s"
    )
    if line.problem:
        before += f"! entry {line.entry.entry_id}: {line.problem}\n"
    subject = f"  sub {eviction.sub or '-'}  sid {eviction.sid or '-'}" if show_subject else ""
    return before + plain(columns + subject)

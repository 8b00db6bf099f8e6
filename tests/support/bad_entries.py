"""Stream entries that no publisher of ours writes: what a reader has to survive, and what it makes of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction

if TYPE_CHECKING:
    import redis.asyncio

KEYS = KeyNames()
IN_BETWEEN = "between"
"""Id of the event in those entries whose number is bad and whose event is good."""


@dataclass(frozen=True)
class Bad:
    """One such entry.

    Attributes:
        name: Of the case.
        event: Field `event`; None leaves it out.
        number: Field `n`; None leaves it out, `next` is the number that comes next.
        heard: Whether the event is good, so that it is heard all the same.
        other_type: Whether the event is of another type, which a newer version may know.
        uses_number: Whether the publisher's numbering has counted this entry.
    """

    name: str
    event: bytes | None
    number: bytes | None = b"next"
    heard: bool = False
    other_type: bool = False
    uses_number: bool = True

    async def add(self, client: redis.asyncio.Redis) -> str:
        """Append it; returns its entry id."""
        fields: dict[Any, Any] = {}
        last = int(await client.get(KEYS.sequence) or 0)
        if self.uses_number:
            last = await client.incr(KEYS.sequence)
        if self.event is not None:
            fields[b"event"] = self.event
        if self.number is not None:
            fields[b"n"] = str(last).encode() if self.number == b"next" else self.number
        entry_id: Any = await client.xadd(KEYS.events, fields or {b"foreign": b"1"})
        return str(entry_id.decode())


def event(name: str) -> dict[str, Any]:
    """A good event."""
    eviction = Eviction(id=name, tenant="t1", iss="https://op", sub="u", scope="user", logout_at=1, received_at=1.0)
    shape: dict[str, Any] = json.loads(eviction.to_json())
    return shape


def text(**changes: Any) -> bytes:
    """A good event with these members changed; those of `data` too, and `...` takes one away."""
    shape = event(IN_BETWEEN)
    for name, value in changes.items():
        where = shape if name in shape else shape["data"]
        where[name] = value
        if value is ...:
            del where[name]
    return json.dumps(shape).encode()


def _raw(before: str, after: str) -> bytes:
    return text().replace(before.encode(), after.encode())


NUMBERS = [
    Bad(f"number {name}", text(), number, heard=True, uses_number=uses_number)
    for uses_number in (True, False)
    for name, number in {
        "word": b"abc", "fraction": b"1.5", "2^70": b"%d" % 2**70, "empty": b"", "absent": None, "negative": b"-1",
        "exponent": b"1e3", "bytes": b"\xff", "padded": b" 2", "nul": b"2\x00",
    }.items()
]  # fmt: skip

EVENTS = [
    Bad("nothing of ours", None, None, uses_number=False),
    Bad("no event", None),
    Bad("empty event", b""),
    Bad("not JSON", b"{"),
    Bad("not UTF-8", text().replace(b"https", b"\xff\xfe")),
    Bad("UTF-16", text().decode().encode("utf-16")),
    Bad("deep", b'{"type":' + b"[" * 100_000),
    Bad("deep and whole", b"[" * 5000 + b"]" * 5000),
    Bad("a number", b"5"),
    Bad("a string", b'"event"'),
    Bad("an array", b"[]"),
    Bad("null", b"null"),
    Bad("no id", text(id=...)),
    Bad("id a number", text(id=7)),
    Bad("half a surrogate pair", _raw('"u"', '"\\ud800"')),
    Bad("no type", text(type=...)),
    Bad("type a number", text(type=5)),
    Bad("no data", text(data=...)),
    Bad("data an array", text(data=[])),
    Bad("data a string", text(data="x")),
    Bad("logout_at 1e400", _raw('"logout_at": 1', '"logout_at": 1e400')),
    Bad("logout_at NaN", _raw('"logout_at": 1', '"logout_at": NaN')),
    Bad("logout_at of 300 digits", _raw('"logout_at": 1', '"logout_at": 1' + "0" * 300)),
    Bad("logout_at of 5000 digits", _raw('"logout_at": 1', '"logout_at": 1' + "0" * 5000)),
    Bad("logout_at true", text(logout_at=True)),
    Bad("logout_at a string", text(logout_at="1")),
    Bad("time a word", text(time="yesterday")),
    Bad("time a number", text(time=5)),
    Bad("time before all time", text(time="0001-01-01T00:00:00+14:00")),
    Bad("time at the end of all time", text(time="9999-12-31T23:59:59.999999Z")),
    Bad("time of no zone", text(time="2026-01-01T00:00:00")),
    Bad("accounts a string", text(accounts="u")),
    Bad("accounts of null", text(accounts=[None])),
    Bad("sessions of numbers", text(sessions=[1])),
    Bad("no user named", text(sub=None)),
]

OTHER_TYPE = Bad("another type", text(type="logout-receiver.eviction.v9", data={"new": 1}), other_type=True)

TOLERATED = [
    Bad("input of a newer version", text(input="carrier-pigeon"), heard=True),
    Bad("scope of a newer version", text(scope="device"), heard=True),
    Bad("applies_to of a newer version", text(applies_to="group"), heard=True),
    Bad("member of a newer version", text(data={**event(IN_BETWEEN)["data"], "new": {"a": 1}}, new=[1]), heard=True),
    Bad("in capitals", text(data={**event(IN_BETWEEN)["data"], "SUB": 5})[:-1] + b', "Data": null}', heard=True),
]
"""Not bad at all: what a newer publisher may write."""

ALL = [*NUMBERS, *EVENTS, OTHER_TYPE]

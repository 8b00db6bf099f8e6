"""The group's script and the cursor keep the same rules: the same histories, on a real Redis and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.bus.events.groups import BATCH_BYTES, READ
from receiver.bus.keys import KeyNames
from receiver.core.cursor import Cursor, Seen, View, read_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()
OLDER = Path(__file__).with_name("read_group-1677f72.lua").read_text(encoding="utf-8")
"""The script of an older release, whose workers may be in the same group. It begins at a time."""
STATE = KEYS.group("g")

bad_number = st.sampled_from([b"abc", b"", b"0", b"-1", b"1.5", b"01", b"1e3", b"9" * 16, b"%d" % 2**70, None])
step = st.one_of(
    st.tuples(st.just("add"), st.none()),
    st.tuples(st.just("corrupted"), bad_number),
    st.tuples(st.just("foreign"), bad_number),
    st.tuples(st.just("lost"), st.integers(1, 3)),
    st.tuples(st.just("trim"), st.integers(0, 3)),
    st.tuples(st.just("read"), st.integers(1, 3)),
)


@pytest.fixture(scope="module")
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """Blocking, because hypothesis is."""
    with redis.Redis.from_url(redis_server.url) as connected:
        yield connected


class Group:
    """One worker of a group, by the script alone; and how many resets it was told of."""

    def __init__(self, client: redis.Redis, script: str = READ.text) -> None:
        self.client, self.script = client, script
        self.generation, self.number, self.resets = b"", 0, 0
        self.begins_at = "(9999999999999999-0" if script == READ.text else "0-1"

    def read(self, count: int) -> list[Any]:
        """What the worker is given."""
        reply: Any = self.client.eval(
            self.script, 2, KEYS.events, STATE, "g", "w", count, self.generation, self.number, self.begins_at,
            "one", 0, KEYS.sequence, BATCH_BYTES,
        )  # fmt: skip
        self.generation, self.number = reply[0], int(reply[1])
        return list(reply[4])

    def missed(self) -> bool:
        """Whether a reset became due since this was last asked."""
        resets = int(self.client.hget(STATE, "resets") or 0)
        before, self.resets = self.resets, resets
        return resets > before


def write(client: redis.Redis, kind: str, number: bytes | None) -> None:
    """An entry: with its number, with a bad one in its place, or foreign to the numbering."""
    fields: dict[Any, Any] = {"event": "e"}
    if kind != "foreign":
        given = client.incr(KEYS.sequence)
        number = str(given).encode() if kind == "add" else number
    if number is not None:
        fields["n"] = number
    client.xadd(KEYS.events, fields)


def view_of_all(client: redis.Redis) -> View:
    """What a group that begins at the end sees."""
    found: Any = client.xrevrange(KEYS.events)
    before = tuple(Seen(entry_id.decode(), read_number(fields.get(b"n"))) for entry_id, fields in found)
    return View(before, (), int(client.get(KEYS.sequence) or 0))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    earlier=st.lists(st.sampled_from(["add", "corrupted", "foreign"]), max_size=4), steps=st.lists(step, max_size=20)
)
def test_same_histories_same_answers(client: redis.Redis, earlier: list[str], steps: list[tuple[str, Any]]) -> None:
    """Whether a read has missed entries, and the number it ended with, are the same at every read."""
    client.flushall()
    for kind in earlier:
        write(client, kind, b"x")
    cursor, group = Cursor.starting(view_of_all(client)), Group(client)
    assert [] == group.read(1)
    for kind, argument in [*steps, ("add", None), ("read", 30)]:
        if kind == "lost":
            client.incrby(KEYS.sequence, argument)
        elif kind == "trim":
            client.xtrim(KEYS.events, maxlen=argument, approximate=False)
        elif kind == "read":
            missed = False
            for entry_id, pairs in group.read(argument):
                number = read_number(dict(zip(pairs[::2], pairs[1::2], strict=True)).get(b"n"))
                missed = missed or not cursor.follows(number)
                cursor = cursor.after(entry_id.decode(), number)
            assert missed == group.missed()
            assert (cursor.number or 0) == group.number
        else:
            write(client, kind, argument)


@pytest.mark.parametrize("sequence", [0, 5, None])
def test_a_group_that_begins_on_an_empty_stream(client: redis.Redis, sequence: int | None) -> None:
    """It knows the last number given, and so notices what is trimmed before its first read."""
    client.flushall()
    if sequence is not None:
        client.set(KEYS.sequence, sequence)
    group = Group(client)
    assert [] == group.read(1)
    write(client, "add", None)
    write(client, "add", None)
    client.xtrim(KEYS.events, maxlen=1, approximate=False)
    assert 1 == len(group.read(9))
    assert group.missed()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(
    older_first=st.booleans(),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans(), st.booleans()), max_size=12),
)
def test_beside_an_older_release(
    client: redis.Redis, steps: list[tuple[int, int, bool, bool]], *, older_first: bool
) -> None:
    """Workers of both releases share a group: nothing is given twice, and a reset is due exactly after a gap."""
    client.flushall()
    group = {older: Group(client, OLDER if older else READ.text) for older in (True, False)}
    group[older_first].read(1)
    given_out: list[bytes] = []
    published = 0
    lost = False
    for added, count, older, is_lost in [*steps, (1, 99, not older_first, False)]:
        if is_lost and published and len(given_out) == published:
            client.incr(KEYS.sequence)
            lost = True
        for _ in range(added):
            write(client, "add", None)
            published += 1
        given = group[older].read(count)
        given_out += [entry_id for entry_id, _ in given]
        assert (lost and bool(given)) == group[False].missed()
        lost = lost and not given
    assert (published, published) == (len(given_out), len(set(given_out)))

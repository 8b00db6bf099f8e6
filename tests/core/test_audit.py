"""Audit records: a chain that shows what was changed, and people who are not named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core.audit import AuditKey, Chain, find, parse_keys, read, record_in
from tests.support.clock import NOW

OLD, NEW = AuditKey("k1", b"1" * 32), AuditKey("k2", b"2" * 32)


def decision(sub: str = "u1", tenant: str = "t1", **members: object) -> dict[str, object]:
    """A record as it is noted."""
    return {"time": NOW, "decision": "accepted", "tenant": tenant, "sub": sub, "sid": None, **members}


def chain(*batches: int, key: AuditKey = OLD, name: str = "a" * 32) -> list[str]:
    """The lines of a chain written in batches of so many records."""
    made = Chain(name, key)
    return [line for size in batches for line in made.lines([decision(f"u{n}") for n in range(size)]).splitlines(True)]


def verdict(lines: list[str], *keys: AuditKey) -> str:
    """What reading says of the only chain."""
    [report] = read(lines, keys or (OLD,)).chains.values()
    return report.verdict


def test_each_record_is_tied_to_the_one_before() -> None:
    """Numbers are consecutive, each record has the hash of the one before, the last of each write is signed."""
    records: list[Any] = [json.loads(line) for line in chain(2, 1)]

    assert [0, 1, 2] == [record["n"] for record in records]
    assert ["0" * 64, records[0]["hash"], records[1]["hash"]] == [record["prev"] for record in records]
    assert [False, True, True] == ["mac" in record for record in records]
    assert "" == verdict(chain(2, 1))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: [lines[0], lines[1].replace("accepted", "refused"), *lines[2:]], "record 1 was changed"),
        (lambda lines: [lines[0], *lines[2:]], "record 1 is missing: 2 comes next"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "record 1 is missing: 0 comes next"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "record 1 is missing: 2 comes next"),
        (lambda lines: lines[:-1], "the last 1 records are not signed with a key at hand"),
        (lambda lines: [*lines[:3], lines[3].replace('"mac":"', '"mac":"0')], "the signature of record 3 is wrong"),
        (lambda lines: [*lines[:3], lines[3].replace('"mac":"', '"mac":"é')], "the signature of record 3 is wrong"),
    ],
    ids=["changed", "left out", "repeated", "moved", "cut off", "signature", "no ASCII"],
)
def test_what_was_done_to_it_shows(change: Any, expected: str) -> None:
    """A record changed, left out, put in or moved, and an end cut off, are each found."""
    assert expected == verdict(change(chain(2, 2)))


def test_chain_made_anew_without_the_key() -> None:
    """Who has no key can compute hashes and cannot sign them."""
    assert "the signature of record 1 is wrong" == verdict(chain(2, key=AuditKey("k1", b"0" * 32)))
    assert "the last 2 records are not signed with a key at hand" == verdict(chain(2, key=NEW))


def test_chains_and_other_lines_may_be_mixed() -> None:
    """Records of several processes, lines of the log and what a collector puts before a line do no harm."""
    one, two = chain(1, 1), chain(2, name="b" * 32)
    lines = [one[0], '{"event":"startup"}\n', two[0], "2026-11-28T10:00:00Z stdout F " + one[1], two[1], "\n"]

    assert (True, 2, 0) == (read(lines, (OLD,)).is_good, len(read(lines, (OLD,)).chains), read(lines, (OLD,)).torn)


def test_earlier_files_that_are_gone() -> None:
    """A chain that begins later, because its earlier files were deleted, is checked from there, and says so."""
    [report] = read(chain(2, 2)[2:], (OLD,)).chains.values()

    assert ("", 2, 2) == (report.verdict, report.first, report.records)


def test_line_torn_by_a_kill() -> None:
    """A line that is no whole record is counted; the chain before it is good."""
    lines = chain(2)
    reading = read([*lines, lines[0][:70] + "\n"], (OLD,))

    assert (True, 1) == (reading.is_good, reading.torn)


def test_nothing_is_not_good() -> None:
    """Files without any record are no proof of anything."""
    assert not read(["{}\n"], (OLD,)).is_good


def test_people_are_found_and_not_named() -> None:
    """A user is found by the key records were written with, at the tenant asked for, and stands in none of them."""
    lines = chain(2) + chain(1, key=NEW, name="b" * 32)
    skipped: dict[str, int] = {}

    assert ["a" * 32] == [record["chain"] for record in find(lines, (OLD,), {"sub": "u1"}, skipped=skipped)]
    assert {"k2": 1} == skipped
    assert ["a" * 32, "b" * 32] == [r["chain"] for r in find(lines, (NEW, OLD), {"sub": "u0"}, skipped={})]
    assert [] == list(find(lines, (OLD,), {"sub": "u1", "sid": "s1"}, skipped={}))
    assert [] == list(find(lines, (OLD,), {"sub": "u1"}, "t2", skipped={}))
    assert "u1" not in {str(json.loads(line).get("sub")) for line in lines}


def test_digests_say_nothing_across_tenants_and_kinds() -> None:
    """One value has one digest as a sub of a tenant, and others elsewhere."""
    digests = {OLD.digest(kind, tenant, "x") for kind in ("sub", "sid") for tenant in ("t1", "t2")}

    assert 4 == len(digests)
    assert OLD.digest("sub", "t1", "x") in digests
    assert NEW.digest("sub", "t1", "x") not in digests


@pytest.mark.parametrize(
    "line",
    ["", "x", '{"audit":1', '{"audit":1}', '{"audit":2,"chain":"a","n":0}', '{"audit":1,"n":true}', "[" * 5000],
)
def test_other_lines_are_no_records(line: str) -> None:
    """What is not whole, of another form or no JSON is no record."""
    assert record_in(line) is None


def test_keys_are_read_line_by_line() -> None:
    """A name and a key; comments and empty lines are left out."""
    keys = parse_keys(f"# new\nk2 {'b' * 32}\n\nk1 {'a' * 64}\n")

    assert [("k2", b"b" * 32), ("k1", b"a" * 64)] == [(key.id, key.secret) for key in keys]


@pytest.mark.parametrize(
    "text", ["", "k1", "k1 short", f"k/1 {'a' * 32}", f"k {'a' * 32}\nk {'b' * 32}", f"a b {'c' * 32}"]
)
def test_bad_keys(text: str) -> None:
    """No key, none with a name, one that is too short, and a name that stands twice are refused, and not quoted."""
    with pytest.raises(ValueError, match=r"^key") as error:
        parse_keys(text)

    assert "a" * 32 not in str(error.value)

"""Audit records to the letter, and what reading says of each fault in them (docs/audit.md)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from receiver.core.audit import BEGINNING, AuditKey, Chain, Reading, find, parse_keys, read, record_in
from tests.support.clock import NOW

SECRET = b"1" * 32
KEY = AuditKey("k1", SECRET)
NOTED = {"time": NOW, "decision": "accepted", "tenant": "t1", "sub": "u1", "sid": None}


def derived(purpose: str, text: str) -> str:
    """An HMAC with the key of one purpose, as every release makes it."""
    return hmac.digest(hmac.digest(SECRET, f"audit {purpose}".encode(), "sha256"), text.encode(), "sha256").hex()


def written(*records: dict[str, Any], name: str = "a" * 32, key: AuditKey = KEY) -> list[str]:
    """A chain of these records, written one by one."""
    chain = Chain(name, key)
    return [chain.lines([{**NOTED, **record}]) for record in records]


def test_record_to_the_letter() -> None:
    """Files of earlier releases are read by later ones, and by programs of others."""
    [line] = written({"sid": "s1", "reason": None, "n": 7})
    chain = Chain("a" * 32, KEY)
    head = (
        f'{{"audit":1,"chain":"{"a" * 32}","n":0,"time":"2026-11-20T12:00:00.000Z","decision":"accepted",'
        f'"tenant":"t1","sub":"{derived("digests", chr(10).join(("sub", "t1", "u1")))[:32]}",'
        f'"sid":"{derived("digests", chr(10).join(("sid", "t1", "s1")))[:32]}","key":"k1","prev":"{"0" * 64}"'
    )
    digest = hashlib.sha256(head.encode()).hexdigest()
    full = f'{head},"hash":"{digest}","mac":"{derived("signatures", digest)}"}}\n'

    assert full == chain.lines([{**NOTED, "sid": "s1", "reason": None}])
    assert line.startswith('{"audit":1,')
    assert BEGINNING == json.loads(full)["prev"]


def test_keys_are_in_no_log() -> None:
    """A key may be printed, and what is derived from it is as secret."""
    assert "AuditKey(id='k1')" == repr(KEY)


def test_half_a_character_has_a_digest() -> None:
    """What JSON can carry and UTF-8 cannot: the decision about it is recorded, and read again."""
    lines = written({"sub": "\ud800"})

    assert 32 == len(KEY.digest("sub", "t1", "\ud800"))
    assert read(lines, (KEY,)).is_good
    assert "record 0 was changed" == verdict([lines[0].replace("accepted", "\ud800")])
    [signature] = [json.loads(line)["mac"] for line in lines]
    assert "the signature of record 0 is wrong" == verdict([lines[0].replace(signature, "\ud800")])


def verdict(lines: list[str]) -> str:
    """What reading says of the only chain."""
    [report] = read(lines, (KEY,)).chains.values()
    return report.verdict


def test_what_a_report_says() -> None:
    """How much was read, of when, and what the process says of its own end and of what it could not keep."""
    lines = written({"lost": 2}, {"time": NOW + 1}, {"lost": 3, "decision": "ended", "time": NOW + 2})
    [whole] = read(lines, (KEY,)).chains.values()
    [running] = read(lines[:2], (KEY,)).chains.values()

    assert ("a" * 32, 3, 0, 5, 0, "") == (
        whole.name, whole.records, whole.first, whole.omitted, whole.unsigned, whole.fault,
    )  # fmt: skip
    assert ("2026-11-20T12:00:00.000Z", "2026-11-20T12:00:02.000Z") == (whole.since, whole.until)
    assert (True, False) == (whole.ended, running.ended)


def rehashed(line: str, **changes: Any) -> str:
    """A record with other members, and the hash that fits them, as who has no key can make it."""
    record = {**json.loads(line), **changes}
    signature = record.pop("mac")
    del record["hash"]
    head = json.dumps(record, separators=(",", ":"))[:-1]
    return f'{head},"hash":"{hashlib.sha256(head.encode()).hexdigest()}","mac":"{signature}"}}\n'


def test_first_fault_of_a_chain() -> None:
    """A number that is left out, a link that is broken, a record after the end: the first is told, with its number."""
    lines = written({}, {"decision": "ended"}, {})
    other = written({"sub": "u2"}, {"sub": "u2"}, {"sub": "u2"})
    forged = rehashed(other[1])

    assert "record 2 comes after the end" == verdict(lines)
    assert "record 1 does not follow the one before" == verdict([lines[0], forged])
    assert "record 1 does not follow the one before" == verdict([lines[0], forged, lines[2]])
    assert "the signature of record 1 is wrong" == verdict([other[0], rehashed(other[1], tenant="t2")])
    assert "record 1 is missing: 2 comes next" == verdict([other[0], other[2]])


def with_members(line: str, **members: Any) -> str:
    """A record with members behind its hash, which replace those of the same name before it."""
    return f"{line.rstrip()[:-1]},{json.dumps(members)[1:-1]}}}\n"


def test_members_behind_the_hash() -> None:
    """They are not hashed, so there are none but the signature: a record could say another thing, or hide a gap."""
    lines = written({}, {"sub": "u2"}, {"sub": "u3"})
    second, third = (json.loads(line) for line in lines[1:])
    renumbered = [lines[0], with_members(lines[2], n=1, prev=second["prev"])]

    assert third["prev"] == second["hash"]
    assert "" == verdict(lines)
    assert "record 1 was changed" == verdict(renumbered)
    assert "record 2 was changed" == verdict([*lines[:2], with_members(lines[2], sub=second["sub"])])
    assert "record 1 was changed" == verdict([lines[0], lines[1].replace('"mac":', '"n":1,"mac":'), lines[2]])
    assert "" == verdict([line.replace("\n", " \r\n") for line in lines])


def test_fault_is_told_before_what_is_not_signed() -> None:
    """The end of a chain in which something is wrong proves nothing more."""
    chain = Chain("a" * 32, KEY)
    lines = chain.lines([NOTED, NOTED, NOTED]).splitlines(keepends=True)

    assert "record 1 is missing: 2 comes next" == verdict([lines[0], lines[2].partition(',"mac"')[0] + "}\n"])
    assert "the last 2 records are not signed with a key at hand" == verdict(lines[:2])


@pytest.mark.parametrize(
    ("chains", "good"),
    [(("a",), True), (("a", "b"), True), (("a", "bad"), False), (("bad", "a"), False), ((), False)],
)
def test_whether_to_trust_it(chains: tuple[str, ...], *, good: bool) -> None:
    """Something is there, and nothing against any of it."""
    lines = [
        line.replace("accepted", "refused") if name == "bad" else line
        for name in chains
        for line in written({}, name=name)
    ]

    assert good is read(lines, (KEY,)).is_good
    assert (0, set()) == (Reading().torn, Reading().unknown_keys)


def test_keys_that_are_not_at_hand() -> None:
    """They are named, once each, and those that are at hand are not."""
    lines = [*written({}, {}, key=AuditKey("k2", b"2" * 32)), *written({}, name="b" * 32)]

    assert {"k2"} == read(lines, (KEY,)).unknown_keys


def test_search() -> None:
    """By all that is asked for, at the tenant that is named; other lines, and records of no tenant, are passed over."""
    lines = [
        *written({"sid": "s1"}, {}, {"tenant": "t2"}),
        '{"event":"startup"}\n',
        *written({"tenant": None, "sub": None}, name="b" * 32),
        *written({}, {}, key=AuditKey("k2", b"2" * 32), name="c" * 32),
    ]

    def numbers(wanted: Any, tenant: str | None = None) -> list[int]:
        return [record["n"] for record in find(lines, (KEY,), wanted, tenant, skipped={})]

    assert [0, 1, 2] == numbers({"sub": "u1"})
    assert [0] == numbers({"sub": "u1", "sid": "s1"})
    assert [0, 1] == numbers({"sub": "u1"}, "t1")
    assert [2] == numbers({"sub": "u1"}, "t2")
    assert [] == numbers({"sid": "u1"})
    skipped: dict[str, int] = {}
    assert [] != list(find(lines, (KEY,), {"sub": "u1"}, skipped=skipped))
    assert {"k2": 2} == skipped


RECORD: dict[str, Any] = {
    "audit": 1, "chain": "a", "n": 0, "time": "t", "decision": "d", "key": "k", "prev": "p", "hash": "h",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "is_record"),
    [
        ({}, True),
        ({"lost": 0}, True),
        ({"lost": 5, "of a later release": None}, True),
        ({"lost": "5"}, False),
        ({"lost": None}, False),
        ({"lost": True}, False),
        ({"audit": 2}, False),
        ({"n": True}, False),
        ({"n": "0"}, False),
        ({"n": 0.0}, False),
        *(({name: 5}, False) for name in ("chain", "time", "decision", "key", "prev", "hash")),
    ],
)
def test_what_is_a_record(changes: dict[str, Any], *, is_record: bool) -> None:
    """Every member that reading needs, as what it is; what a later release adds does no harm."""
    record = {**RECORD, **changes}
    text = json.dumps(record, separators=(",", ":"))

    assert (record if is_record else None) == record_in(text)
    assert (record if is_record else None) == record_in(f"2026-11-28T10:00:00Z stdout F {text}")


@pytest.mark.parametrize("name", RECORD)
def test_member_that_is_missing(name: str) -> None:
    """Without one of them it is none."""
    assert record_in(json.dumps({**{known: RECORD[known] for known in RECORD if known != name}})) is None


@pytest.mark.parametrize("line", ["", "x", f"[{json.dumps(RECORD)}]", json.dumps(RECORD, separators=(",", ":")) + "x"])
def test_line_of_another_kind(line: str) -> None:
    """It is none, whatever it holds."""
    assert record_in(line) is None


def test_line_of_a_bad_key_is_named() -> None:
    """By its number, from 1, empty lines and comments included."""
    for text, number in (("k1", 1), (f"# new\n\nk1 {'a' * 32}\nk2 short", 4)):
        with pytest.raises(ValueError, match=f"^key: line {number}"):
            parse_keys(text)
    assert ["A.b_c-9" * 4 + "xxxx"] == [key.id for key in parse_keys(f"{'A.b_c-9' * 4}xxxx {'a' * 32}")]
    for text in (f"{'k' * 33} {'a' * 32}", f"k1 {'a' * 31}"):
        with pytest.raises(ValueError, match="key: line 1"):
            parse_keys(text)

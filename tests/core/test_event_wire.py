"""An event's wire form: every member by its name, what may be missing, and what is no event (docs/events.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core import event_members as members
from receiver.core.eviction import MAX_ID_CHARS, Eviction, SessionKeys, eviction_id
from receiver.core.marks import Source
from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.errors import BadEventError, UnknownEventTypeError

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

EVERYTHING = Eviction(
    id="42339e6dc4059f38b026cf9062317139",
    tenant="main",
    iss="https://op.example",
    client_id="portal",
    sub="ü",
    sid="08a5",
    jti='3d"0c',
    scope="session",
    applies_to="client",
    logout_at=1795176000,
    received_at=1795176000.25,
    input="admin",
    origin="api",
    reason="left",
    account="a.t",
    reauthenticate=False,
    not_before=5.0,
    traceparent=TRACE,
    accounts=("a.t", "ö"),
    sessions=(SessionKeys("orders", ("k1", "kä")), SessionKeys("shop", ())),
    beyond=3,
)
"""An event with every member there is."""

WIRE = (
    '{"specversion":"1.0","type":"logout-receiver.eviction.v1","id":"42339e6dc4059f38b026cf9062317139",'
    '"source":"https://op.example","time":"2026-11-20T12:00:00.250Z","datacontenttype":"application/json",'
    f'"traceparent":"{TRACE}","data":{{"tenant":"main","iss":"https://op.example","client_id":"portal","sub":"ü",'
    '"sid":"08a5","jti":"3d\\"0c","scope":"session","applies_to":"client","logout_at":1795176000,"input":"admin",'
    '"reason":"left","origin":"api","account":"a.t","reauthenticate":false,"accounts":["a.t","ö"],'
    '"sessions":[{"client_id":"orders","keys":["k1","kä"]},{"client_id":"shop","keys":[]}],"beyond":3}}'
)

LEAST = Eviction(id="e1", tenant="t1", iss="i", sub="u1", scope="user", logout_at=0, received_at=0.0)

LEAST_WIRE = (
    '{"specversion":"1.0","type":"logout-receiver.eviction.v1","id":"e1","source":"i",'
    '"time":"1970-01-01T00:00:00.000Z","datacontenttype":"application/json","data":{"tenant":"t1","iss":"i",'
    '"client_id":null,"sub":"u1","sid":null,"jti":null,"scope":"user","applies_to":"tenant","logout_at":0,'
    '"input":"backchannel","reason":null,"accounts":[],"sessions":[]}}'
)


@pytest.mark.parametrize(("eviction", "wire"), [(EVERYTHING, WIRE), (LEAST, LEAST_WIRE)], ids=["all", "least"])
def test_wire_form(eviction: Eviction, wire: str) -> None:
    """Letter by letter: releases, the publish script and listeners in other languages read the same text."""
    assert wire == eviction.to_json()
    assert wire.startswith(eviction.to_json_head())
    assert eviction.to_json_head().endswith('"accounts":[')
    for text in (wire, wire.encode()):
        read = Eviction.from_json(text)
        # When it may be published is the publisher's business alone.
        assert (0.0, read) == (read.not_before, Eviction.from_json(read.to_json()))
        assert wire == read.to_json()


def event(**changes: Any) -> dict[str, Any]:
    """A user's logout with some members of it, or of its `data`, changed; one given as `...` is left out."""
    found: dict[str, Any] = json.loads(LEAST_WIRE)
    for name, value in changes.items():
        place = found["data"] if name in json.loads(WIRE)["data"] else found
        place[name] = value
        if value is ...:
            del place[name]
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # What earlier publishers do not write, and what a newer one may.
        ({"applies_to": ..., "sessions": ..., "reason": ...}, {}),
        ({"applies_to": "of a later version"}, {}),
        ({"applies_to": "client"}, {"applies_to": "client"}),
        ({"input": "of a later version"}, {"input": "of a later version"}),
        ({"further": {"x": 1}}, {}),
        ({"reauthenticate": False}, {"reauthenticate": False}),
        ({"reauthenticate": None}, {}),
        ({"reauthenticate": 0}, {}),
        ({"beyond": 7}, {"beyond": 7}),
        ({"traceparent": TRACE}, {"traceparent": TRACE}),
        ({"traceparent": "no trace"}, {}),
        # A scope that is unknown, or does not fit, gives way to what is named.
        ({"scope": "session"}, {}),
        ({"scope": "of a later version"}, {}),
        ({"scope": "user", "sid": "s1"}, {"sid": "s1"}),
        ({"scope": "session", "sid": "s1"}, {"sid": "s1", "scope": "session"}),
        ({"scope": "of a later version", "sid": "s1"}, {"sid": "s1", "scope": "session"}),
        ({"scope": "user", "sub": None, "sid": "s1"}, {"sub": None, "sid": "s1", "scope": "session"}),
        # Dates of any offset; one before 1970 is none of ours.
        ({"time": "1970-01-01T01:00:00.5+01:00"}, {"received_at": 0.5}),
        ({"time": "1969-12-31T23:59:59Z"}, {}),
        ({"time": "9999-12-31T23:59:59Z"}, {"received_at": float(MAX_NUMERIC_DATE)}),
        ({"logout_at": MAX_NUMERIC_DATE}, {"logout_at": MAX_NUMERIC_DATE}),
    ],
)
def test_event_of_another_version_is_read(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """A reader takes what it knows, and where it does not know, what ends more sign-ins."""
    read = Eviction.from_json(json.dumps(event(**changes)))

    names = {"sub": "u1", "sid": None, "scope": "user", "applies_to": "tenant", "reauthenticate": True, "beyond": 0}
    more = {"input": "backchannel", "received_at": 0.0, "logout_at": 0, "traceparent": None}
    want = {**names, **more, **expected}
    assert want == {name: getattr(read, name) for name in want}


NEEDED = ("id", "type", "time", "data")
NEEDED_OF_DATA = (
    "tenant", "iss", "client_id", "sub", "sid", "jti", "scope", "logout_at", "input", "accounts",
)  # fmt: skip


@pytest.mark.parametrize("name", [*NEEDED, *NEEDED_OF_DATA])
def test_member_that_is_needed(name: str) -> None:
    """Without one of these it is no event, and the error says which is missing."""
    with pytest.raises(BadEventError, match=f"it has no {name}$"):
        Eviction.from_json(json.dumps(event(**{name: ...})))


@pytest.mark.parametrize(
    "changes",
    [
        *({name: 5} for name in ("id", "time", "data", *NEEDED_OF_DATA) if name != "logout_at"),
        *({name: 5} for name in ("applies_to", "origin", "reason", "account")),
        *({name: None} for name in ("id", "tenant", "iss", "scope", "input", "logout_at", "accounts", "sessions")),
        *({name: "\ud800"} for name in ("id", "tenant", "iss", "sub", "origin")),
        {"logout_at": True},
        {"logout_at": 1.0},
        {"logout_at": -1},
        {"logout_at": MAX_NUMERIC_DATE + 1},
        {"beyond": None},
        {"beyond": -1},
        {"accounts": "u1"},
        {"accounts": [5]},
        {"sessions": {}},
        {"sessions": ["c1"]},
        {"sessions": [{"client_id": "c1"}]},
        {"sessions": [{"keys": []}]},
        {"sessions": [{"client_id": None, "keys": []}]},
        {"sessions": [{"client_id": "c1", "keys": "k1"}]},
        {"sessions": [{"client_id": "c1", "keys": [None]}]},
        {"time": "yesterday"},
        # Without an offset it would be another moment in each time zone.
        {"time": "2026-11-20T12:00:00"},
        {"time": "9999-12-31T23:59:59.9999999Z"},
        {"time": "9999-12-31T23:59:59-01:00"},
        {"sub": None},
    ],
    ids=str,
)
def test_member_of_the_wrong_shape(changes: dict[str, Any]) -> None:
    """One member that is not what it has to be, and the whole event is refused: half an order ends nothing."""
    with pytest.raises(BadEventError):
        Eviction.from_json(json.dumps(event(**changes)))


@pytest.mark.parametrize("text", ["", "[]", "5", "{", b"\xff", "[" * 100_000, "{}"], ids=repr)
def test_what_is_no_json_object(text: str | bytes) -> None:
    """Anything in the stream is an event or a `BadEventError`."""
    with pytest.raises(BadEventError):
        Eviction.from_json(text)


def test_event_of_another_type() -> None:
    """It is told apart from a damaged one: a consumer passes over it in silence."""
    with pytest.raises(UnknownEventTypeError):
        Eviction.from_json(json.dumps(event(type="logout-receiver.eviction.v2")))


def test_last_moment_there_is() -> None:
    """A date that rounding moves past the year 9999 is none, on every version of Python."""
    assert MAX_NUMERIC_DATE == members.seconds("9999-12-31T23:59:59+00:00")
    for text in ("9999-12-31T23:59:59.999999+00:00", "9999-12-31T23:59:59.500000+00:00"):
        with pytest.raises(OverflowError):
            members.seconds(text)


def test_id_of_the_first_event() -> None:
    """A digest of issuer and `jti`, the same in every release: a repeat is known by it."""
    found = eviction_id("https://login.example.com/realms/main", "3d0c3cf797584d193bd0fb1bd4e7d30c")

    assert "42339e6dc4059f38b026cf9062317139" == found


def test_longest_name() -> None:
    """512 characters: a larger bound would let every event grow with what senders choose."""
    assert 512 == MAX_ID_CHARS


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"input": "admin"}, Source.ORDER),
        ({"input": "admin", "reauthenticate": False}, Source.ORDER_ON_SESSIONS),
        ({"input": "ssf"}, Source.OP),
        ({"input": "of a later version"}, Source.OP),
        ({"input": "ssf", "reauthenticate": False}, Source.OP),
    ],
)
def test_which_clock_dated_it(changes: dict[str, Any], source: Source) -> None:
    """The receiver dates an operator's orders, the OP all others."""
    assert source is Eviction.from_json(json.dumps(event(**changes))).source


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({"applies_to": "tenant", "client_id": "c2"}, True),
        ({"applies_to": "client", "client_id": "c1"}, True),
        ({"applies_to": "client", "client_id": "c2"}, False),
        ({"applies_to": "client", "client_id": None}, True),
    ],
)
def test_whom_it_concerns(changes: dict[str, Any], *, concerned: bool) -> None:
    """Every client of the tenant, or the one that is named; where none is, all of them."""
    assert concerned is Eviction.from_json(json.dumps(event(**changes))).concerns("c1")

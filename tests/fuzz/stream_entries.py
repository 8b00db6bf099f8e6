"""Plays of what stands in the stream and in the lists beside it: entries, acknowledgements, positions, stored keys."""

from __future__ import annotations

import json
from dataclasses import replace

from receiver.bus import shared_keys
from receiver.bus.events import acks, stream
from receiver.core import audit, cursor, trace_context
from receiver.core.eviction import Eviction, SessionKeys
from receiver.core.repeats import is_repeat
from receiver.core.sign_in import from_claims
from receiver.errors import BadEventError
from receiver.evictor.flows import flow_of, names_of, outline
from tests.support.clock import NOW

SEPARATOR = b"\xff\xfe"
"""Between the fields of an entry."""

AUDIT_KEY = audit.AuditKey("k", b"0" * 32)


def play_event(text: bytes) -> None:
    """Any event: refused, or an eviction that writes and reads as itself, and has the same place by its outline."""
    outline(text)
    try:
        eviction = Eviction.from_json(text)
    except BadEventError:
        return
    if eviction.received_at:
        assert (flow_of(eviction), names_of(eviction)) == outline(text)
    written = eviction.to_json()
    written.encode()
    assert Eviction.from_json(written) == replace(eviction, received_at=int(eviction.received_at * 1000) / 1000)
    assert is_repeat(eviction, eviction)


def play_entry(data: bytes) -> None:
    """Any entry: a place to go on from, and an event or a refusal."""
    number, _, event = data.partition(SEPARATOR)
    entry = stream.to_entry(b"5-1", {b"n": number, b"event": event})
    after = cursor.Cursor("4-0", 3).after(entry.entry_id, entry.number)
    assert "5-1" == after.entry_id
    assert entry.number is None or 0 < entry.number < 10**15
    try:
        entry.eviction()
    except BadEventError:
        return


def play_ack(line: bytes) -> None:
    """Any line of the list of acknowledgements: left out, or one app's, after a span that is a number."""
    observed = acks._observed(line)
    if observed is not None:
        event_id, of_app = observed
        event_id.encode()
        assert of_app.app.encode()
        assert of_app.after_s is None or 0 <= of_app.after_s < 10**12
    app, instance = acks.split(acks.text(line))
    assert "/" not in instance
    assert len(app) <= len(line)


def play_position(text: bytes) -> None:
    """Any position a client of the feed sends: refused, or one that can be compared."""
    try:
        order = cursor.order(text.decode("latin-1"))
    except ValueError:
        return
    assert order == cursor.order("-".join(map(str, order)))


def play_traceparent(text: bytes) -> None:
    """Any header: none, or one that reads as itself."""
    found = trace_context.parse(text.decode("latin-1"))
    if found is not None:
        assert (found, 55) == (trace_context.parse(found), len(found))


def play_stored_keys(text: bytes) -> None:
    """Any copy of an OP's keys: passed over, or a time and a document."""
    found = shared_keys.read(text)
    if found is not None:
        assert isinstance(found.document, dict)
        assert 0 <= found.fetched_at < 10**12


def play_mark(text: bytes) -> None:
    """Any mark: no date, or one that ends what began before it."""
    sign_in = from_claims({"iss": "i", "sub": "s", "aud": "c", "auth_time": NOW})
    nothing = [None] * len((*sign_in.marks.of_user, *sign_in.marks.of_session))
    assert not sign_in.is_ended_by([text, *nothing], skew_s=0.0) or float(text) >= NOW
    assert not sign_in.is_ended_by([*nothing, text], skew_s=0.0) or float(text) > NOW


def play_audit(data: bytes) -> None:
    """Any log: read to its end, with a verdict; searched without a fault."""
    lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    reading = audit.read(lines, [AUDIT_KEY])
    assert all(chain.records for chain in reading.chains.values())
    assert reading.is_good in {True, False}
    skipped: dict[str, int] = {}
    for record in audit.find(lines, [AUDIT_KEY], {"sub": "u"}, skipped=skipped):
        assert record["sub"] == AUDIT_KEY.digest("sub", str(record["tenant"]), "u")


def audit_seeds() -> list[bytes]:
    """A log, and changes of it."""
    chain = audit.Chain("c", AUDIT_KEY)
    records: list[dict[str, object]] = [
        {"time": NOW, "decision": "accepted", "tenant": "t1", "sub": "u"},
        {"time": NOW, "decision": "accepted", "tenant": "t1", "sid": "s", "lost": 2},
    ]
    log = (chain.lines(records) + chain.lines([{"time": NOW, "decision": "ended"}])).encode()
    return [
        log,
        b"prefix " + log,
        log.replace(b'"mac":"', '"mac":"é'.encode()),
        log.replace(b'"n":1', b'"n":7'),
        log[: len(log) // 2],
        log.replace(b'"lost":2', b'"lost":-1e400'),
        log.replace(b'"c"', rb'"\ud800"'),
    ]


def event_seeds() -> list[bytes]:
    """Events of every form."""
    plain = Eviction(id="e", tenant="t1", iss="i", sub="u", scope="user", logout_at=NOW, received_at=NOW)
    full = replace(
        plain, sid="s", scope="session", jti="j", client_id="c1", applies_to="client", input="backchannel",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        accounts=("a.b", "tür"), sessions=(SessionKeys("c1", ("k1", "k2")),), reason="user_logout",
    )  # fmt: skip
    event = json.loads(full.to_json())
    return [
        plain.to_json().encode(),
        full.to_json().encode(),
        json.dumps({**event, "type": "another"}).encode(),
        json.dumps({**event, "specversion": 2}).encode(),
        json.dumps({**event, "data": {**event["data"], "logout_at": 1e400, "accounts": [None]}}).encode(),
        json.dumps({**event, "time": "9999-12-31T23:59:59.9999Z"}).encode(),
    ]


def entry_seeds() -> list[bytes]:
    """Entries with and without a number."""
    numbers = (b"1", b"0", b"", b"1.5", b"9" * 16, b"007", b"abc")
    return [number + SEPARATOR + event for number in numbers for event in event_seeds()[:2]]


ACK_SEEDS = [
    b"id 12 host-1-ab shop", b"id late host-1-ab shop with space", b"id -1 w a", b"id 1e3 w a", b"id 12 w", b"",
    b"\xff\xfe 1 w \xff", b"id " + b"9" * 20 + b" w a",
]  # fmt: skip
POSITION_SEEDS = [b"1-1", b"0", b"18446744073709551615-18446744073709551616", b"-1", b"1-", b"\xb2-1"]
TRACEPARENT_SEEDS = [
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"00-0-0-00", b"",
    b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
]  # fmt: skip
STORED_KEYS_SEEDS = [
    b'{"fetched_at": 1, "jwks": {"keys": []}}', b'{"fetched_at": "1e999", "jwks": []}', b"[" * 2000, b"null", b"{}",
    b'{"fetched_at": NaN, "jwks": {"keys": []}}',
]  # fmt: skip
MARK_SEEDS = [b"1", b"1700000000", b"1e999", b"nan", b"", b"-1", b"\xff", b"1_0", b"99999999999999999999"]

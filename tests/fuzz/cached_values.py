"""Plays of what the evictor reads in the apps' caches, layout by layout, and of the notes it keeps itself."""

from __future__ import annotations

import json
import pickle
import struct
from typing import TYPE_CHECKING, Any

from receiver.bus import callbacks
from receiver.bus.caches import cache_index, rechecks
from receiver.bus.caches.cache_index import CacheKey, notes
from receiver.consumer.session_layouts import find_account, find_claims
from receiver.core import remembered
from receiver.core.cached_marks import marks_of
from receiver.core.eviction import Eviction
from receiver.core.layouts import LAYOUTS, Layout
from receiver.core.sign_in import from_claims
from receiver.core.verdict import Marks, means
from receiver.errors import BadEventError, BadValueError
from receiver.evictor.decisions import ByMarks, names_of
from tests.evictor.written import app_token, dumped, id_token, merged, tokens

if TYPE_CHECKING:
    from collections.abc import Callable


SEPARATOR = b"\xff\xfe"
"""Between the fields of a hash."""

ISS = "https://op.example"
EVICTION = Eviction(id="e", tenant="t", iss=ISS, sub="u1", sid="s1", scope="session", logout_at=5, received_at=5)


def stored(layout: Layout, data: bytes) -> dict[str, bytes]:
    """A value as it is read from Redis: a string, or a hash of one field and further ones."""
    first, *others = data.split(SEPARATOR)
    if layout.fields is None:
        more = {f"sessionAttr:{number}": text for number, text in enumerate(others)}
        times = dict.fromkeys(("creationTime", "lastAccessedTime", "maxInactiveInterval"), b"1")
        # The first byte says whether it is a whole session.
        return {**(times if first[:1] != b"-" else {}), "sessionAttr:x": first, **more}
    return dict(zip(layout.fields, [first, *others], strict=False))


def play_of(layout: Layout) -> Callable[[bytes], None]:
    """Any value: every step on the way is taken, and what is written back reads as itself without those that went."""

    def play(data: bytes) -> None:
        raw = stored(layout, data)
        value = layout.open(raw)
        if value.error is not None:
            raise AssertionError("a fault, where there should be a reason") from value.error
        for sign_in in value.sign_ins:
            means(EVICTION, sign_in, accounts={"u1"}, whole_user=True)
            names_of(sign_in, by_user=layout.account_links)
            marks_of(sign_in, [ISS])
        for note in notes(value.sign_ins, CacheKey("web", "key"), of_accounts=layout.account_links):
            assert "," not in note.member
            note.member.encode()
        marks = {sign_in: Marks(9, 9) for sign_in in value.sign_ins}
        ByMarks(key="key", marks=marks, remembered={}, logouts_missed=True).decisions(value)
        for ended in ([], list(value.holders), list(value.holders)[:1]):
            change = layout.without(value, ended)
            if change.new is not None:
                again = layout.open({**raw, next(iter(raw)): change.new})
                # What is left of odd members alone is no cache of MSAL's any more, and no user's.
                assert again.readable or not value.readable or "shape" in value.problems
                assert not set(again.holders) & set(ended)
                assert set(again.holders) <= set(value.holders)

    return play


def play_index_member(data: bytes) -> None:
    """Any member of a name in the index: refused, or a word and a text."""
    try:
        word, text = cache_index._split(data)
    except BadValueError:
        return
    assert word.isascii()
    assert isinstance(text, str)


def play_recheck(data: bytes) -> None:
    """Any order to look again: refused, or one that is written and read as itself."""
    try:
        order = rechecks._from_json(data)
    except (BadValueError, BadEventError):
        return
    again = rechecks._from_json(rechecks._to_json(order).encode("utf-8", "surrogatepass"))
    assert (order.keys, order.step) == (again.keys, again.step)


def play_callback(data: bytes) -> None:
    """Any order whose OP is called back: refused, or one that is written and read as itself."""
    try:
        order = callbacks.read_callback(data)
    except BadValueError:
        return
    again = callbacks.read_callback(order.to_json().encode("utf-8", "surrogatepass"))
    assert (order.entry_id, order.token, order.tries) == (again.entry_id, again.token, again.tries)


def callback_seeds() -> list[bytes]:
    """A good order, and near misses."""
    eviction = Eviction(
        id="e", tenant="t1", iss="https://op.example", sub="u1", scope="user", logout_at=1, received_at=1
    )
    good = callbacks.Callback(eviction=eviction, entry_id="1-0", relation="[]", token="t", deadline=1.5).to_json()
    return [
        good.encode(),
        good.replace("1-0", "\ud800").encode("utf-8", "surrogatepass"),
        b"[]",
        b'["{}","","","",1,1,1]',
    ]


def play_removal(data: bytes) -> None:
    """Any note of a removal: numbers, or nothing."""
    names = (b"at", b"until", b"again", b"unsure", b"sid x")
    fields = dict(zip(names, data.split(SEPARATOR), strict=False))
    if len(names) < data.count(SEPARATOR):
        fields[b"sid " + data.split(SEPARATOR)[-1]] = b""
    found, _ = remembered.read(fields, 5.0)
    if found is not None:
        assert found.again >= 0
        assert found.unsure >= 0
        assert found.removal.logout_at >= 0


def play_app_session(data: bytes) -> None:
    """Any session an app has: no claims, or a sign-in of which every name in Redis can be made."""
    try:
        session = json.loads(data)
    except (ValueError, RecursionError):
        return
    claims = find_claims(session) if isinstance(session, dict) else None
    if claims is not None:
        account = find_account(session, claims)
        try:
            sign_in = from_claims(claims, client_id="c1", home_account_id=account)
        except ValueError:
            return
        assert not sign_in.is_ended_by([None] * (1 + sum(map(len, sign_in.marks))), skew_s=0.0)


def java_string(text: bytes) -> bytes:
    """A text as Java's serialisation writes it alone."""
    return b"\xac\xed\x00\x05t" + struct.pack(">H", len(text)) + text


def seeds_of(name: str) -> list[bytes]:
    """Values as the stack writes them, and near misses."""
    own = id_token(ISS, "u1", "c1", sid="s1", auth_time=1)
    blob = tokens(ISS, account="a.b", sid="s1", auth_time=1, cached_at=1)
    shared = dumped(blob, tokens(None, sub="u2", account="c.d"), app_token())
    account: dict[str, Any] = {"homeAccountId": "a.b", "idTokenClaims": {"iss": ISS, "aud": "c1", "sub": "u1"}}
    claims = {"iss": ISS, "aud": ["c1", "c2"], "azp": "c1", "sub": "u1", "sid": "s1", "auth_time": 1}
    session = {"cookie": {"originalMaxAge": 1}, "_permanent": True, "user": claims, "token": own, "account": account}
    deep = b'{"Account":{"a":' + b"[" * 70 + b"]" * 70 + b"}}"
    odd = json.dumps({**merged(blob), "version": 2, "Account": None, "AppMetadata": []}).encode()
    texts = [shared, dumped(blob), odd, deep, json.dumps(session).encode(), json.dumps({"c": shared.decode()}).encode()]
    if name == "spring-session":
        texts += [java_string(text) for text in texts[:2]]
        texts += [java_string(own.encode()) + SEPARATOR + java_string(b"x"), b"-" + SEPARATOR + own.encode()]
    if name in {"flask-session", "django-session"}:
        texts += [
            pickle.dumps({"_permanent": True, "own": own, "cache": shared.decode()}, protocol) for protocol in (2, 4)
        ]
        packed = (
            b"\x83\xaa_permanent\xc3\xa3own\xda" + struct.pack(">H", len(own)) + own.encode() + b"\xa1x\x81\xa1y\xc0"
        )
        texts += [packed, b"!" + packed[::-1]]
    if name == "microsoft-identity-web":
        texts += [shared + SEPARATOR + b"-1" + SEPARATOR + b"-1", b"\x09\xf0\xc9\xf0" + bytes(40)]
    if name == "msal-node":
        texts += [b"gAAAAA" + b"a" * 100, b"eyJhbGciOiJkaXIifQ..aaaa.bbbb.cccc"]
    return texts


def app_session_seeds() -> list[bytes]:
    """Sessions as apps keep them."""
    own = id_token(ISS, "u1", "c1", sid="s1")
    cache = dumped(tokens(ISS, account="a.b")).decode()
    claims: dict[str, Any] = {"iss": ISS, "aud": "c1", "sub": "u1", "sid": "s1", "auth_time": 1}
    sessions: list[dict[str, Any]] = [
        {"user": claims, "token_cache": cache, "home_account_id": "a.b"},
        {"_logged_in_user": {"id_token_claims": claims}, "_token_cache": cache},
        {"token": {"userinfo": {**claims, "aud": ["c1", "c2"]}}, "token_cache": "x"},
        {"id_token": own, "home_account_id": "\ud800"},
        {"user": {**claims, "sub": "\ud800"}},
        {"user": {**claims, "auth_time": 1e300, "iat": True, "sid": ["s1"], "azp": 7}},
    ]
    return [json.dumps(session).encode() for session in sessions]


LAYOUT_NAMES = tuple(name for name, layout in LAYOUTS.items() if layout.is_read)


def recheck_seeds() -> list[bytes]:
    """An order, and some that are none."""
    order = rechecks._to_json(rechecks.Recheck(EVICTION, frozenset({CacheKey("web", "k")}), 1)).encode()
    return [order, order.replace(b'"step": 1', b'"step": -1'), order.replace(b'"k"', b"7"), b"[" * 90, b"{}"]

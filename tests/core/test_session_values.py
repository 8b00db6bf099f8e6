"""What a session's bytes say of its user, whoever wrote them; nothing but JSON is ever loaded."""

from __future__ import annotations

import json
import os
import pickle
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.layouts import session_values
from tests.evictor.written import dumped, id_token, merged, tokens

if TYPE_CHECKING:
    from pathlib import Path

OP = "https://op.example"
CACHE = dumped(tokens(OP, account="home.u1", sid="s1", auth_time=7, cached_at=40))
PRETTY = json.dumps(json.loads(CACHE), indent=4)
SEEN = [(OP, "u1", "s1", "home.u1", 7, 40)]
TOKEN = id_token(OP, "u1", "c1", sid="s1", auth_time=7)
SEEN_IN_TOKEN = [(OP, "u1", "s1", None, 7, None)]
CLAIMS = {"iss": OP, "sub": "u1", "aud": "c1", "sid": "s1", "auth_time": 7}


def seen(value: bytes) -> list[tuple[object, ...]]:
    """What is known of each sign-in in it."""
    return [
        (s.iss, s.sub, s.sid, s.account, s.auth_time, s.oldest_token_at) for s in session_values.read(value).sign_ins
    ]


def java(text: str) -> bytes:
    """A Java-serialised string: TC_STRING or TC_LONGSTRING."""
    raw = text.encode()
    head = b"t" + struct.pack(">H", len(raw)) if len(raw) < 65536 else b"|" + struct.pack(">Q", len(raw))
    return b"\xac\xed\x00\x05" + head + raw


def msgpack(text: str) -> bytes:
    """A map of one string, as Flask-Session's msgpack writes it."""
    raw = text.encode()
    return b"\x81\xac_token_cache\xda" + struct.pack(">H", len(raw)) + raw


@pytest.mark.parametrize(
    ("value", "what"),
    [
        # MSAL's cache in a session: a string in JSON, msgpack, pickle, Java's serialisation.
        (json.dumps({"_token_cache": PRETTY}).encode(), SEEN),
        (json.dumps({"_token_cache": json.loads(CACHE)}).encode(), SEEN),
        (json.dumps({"a": json.dumps({"b": CACHE.decode()})}).encode(), SEEN),
        (msgpack(PRETTY), SEEN),
        (pickle.dumps({"_token_cache": PRETTY}, 0), None),
        (pickle.dumps({"_token_cache": PRETTY}, 2), SEEN),
        (pickle.dumps({"_token_cache": PRETTY}, 4), SEEN),
        (pickle.dumps({"x": "y" * 70_000, "_token_cache": PRETTY}, 5), SEEN),
        (java(CACHE.decode()), SEEN),
        (java(PRETTY + " " * 70_000), SEEN),
        # An ID token alone.
        (json.dumps({"user": {"idToken": TOKEN}}).encode(), SEEN_IN_TOKEN),
        (msgpack(TOKEN), SEEN_IN_TOKEN),
        (pickle.dumps({"id_token": TOKEN}), SEEN_IN_TOKEN),
        (java(TOKEN), SEEN_IN_TOKEN),
        (b"eyJ" + java("x" + TOKEN), SEEN_IN_TOKEN),
        # Its claims, as `identity` and MSAL Node's samples keep them.
        (json.dumps({"_logged_in_user": CLAIMS}).encode(), SEEN_IN_TOKEN),
        (
            json.dumps({"account": {"homeAccountId": "home.u1", "idTokenClaims": CLAIMS}}).encode(),
            [(OP, "u1", "s1", "home.u1", 7, None)],
        ),
        (
            json.dumps({"account": {"homeAccountId": "home.u1", "username": "a"}}).encode(),
            [(None, None, None, "home.u1", None, None)],
        ),
        # The same sign-in in several shapes is one.
        (json.dumps({"_logged_in_user": CLAIMS, "_token_cache": PRETTY, "idToken": TOKEN}).encode(), SEEN),
        # Nothing.
        (b"", []),
        (b"{}", []),
        (b"null", []),
        (json.dumps({"cookie": {"path": "/"}, "views": 5}).encode(), []),
        (json.dumps({"sub": "u1", "iss": OP}).encode(), []),
        (b"\x09\xf0\xc9\xf0" + bytes(range(200)), []),
        (os.urandom(4096), []),
    ],
)
def test_read(value: bytes, what: list[tuple[object, ...]] | None) -> None:
    """Each shape says whose it is; encrypted and foreign bytes say nothing."""
    if what is None:
        # Protocol 0 writes line ends in another way; its ID token is found all the same.
        assert {(OP, "u1", "s1")} == {entry[:3] for entry in seen(value)}
    else:
        assert what == seen(value)


class Trap:
    """Loading its pickle leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_loaded(tmp_path: Path, protocol: int) -> None:
    """A pickle that runs code when it is loaded runs none, and still says whose it is."""
    trace = tmp_path / "loaded"
    value = pickle.dumps({"_token_cache": PRETTY, "trap": Trap(trace), "t": TOKEN}, protocol)
    assert "u1" in {entry[1] for entry in seen(value)}
    assert not trace.exists()
    pickle.loads(value)  # noqa: S301  # what the trap is worth
    assert trace.exists()


def test_two_users_in_one_session() -> None:
    """Whoever is signed in beside another one is seen too, also where only an account is known of them."""
    blob = merged(tokens(OP, sid="s1"), tokens(None, account="u2", cached_at=5))
    found = seen(json.dumps({"_token_cache": json.dumps(blob)}).encode())
    assert {"u1", "u2"} == {entry[3] for entry in found}


def test_refresh_tokens_are_handed_out() -> None:
    """Those of the caches in it, so that they can be revoked when the session is deleted."""
    (token,) = session_values.read(msgpack(PRETTY)).refresh_tokens
    assert ("c1", "rt-home.u1-login.example.com-c1") == token


@pytest.mark.parametrize(
    "value",
    [
        b'{"AccessToken": {"x": {"home_account_id": {}}}}',
        b'{"a": {"AccessToken": {"x": {"client_id": [], "home_account_id": "u"}}}}',
        json.dumps({"iss": "x\udc00", "sub": "u", "aud": "c"}).encode(),
        json.dumps({"iss": OP, "sub": "\ud800", "aud": "c"}).encode(),
        json.dumps({"homeAccountId": "\ud800"}).encode(),
        json.dumps({"AccessToken": {"x": {"home_account_id": "\ud800"}}}).encode(),
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'\x80{"Account":{' * 500,
        b'{"n": ' + b"9" * 5000 + b"}",
        json.dumps({"iss": OP, "sub": "u", "aud": ["c", {}], "azp": {}, "sid": 5, "auth_time": "x"}).encode(),
    ],
)
def test_hostile_values(value: bytes) -> None:
    """Whatever a visitor gets an app to keep in a session can be read without an error, and be named in Redis."""
    for sign_in in session_values.read(value).sign_ins:
        for text in (sign_in.iss, sign_in.sub, sign_in.sid, sign_in.account, *sign_in.client_ids):
            (text or "").encode()


@pytest.mark.parametrize(
    "value",
    [
        b"\x80" + b"eyJ" * 300_000,
        b"\x80" + b"eyJaaaaaaaa." * 80_000,
        b"\x80" + b"eyJaaaaaaaa.eyJ" * 60_000,
        b"\x80" + b'{"Account":{' * 80_000,
        b"\x80" + b'{"Account":{"' * 80_000,
        b"\x80" + b'{"Account":{},' * 80_000,
        b"\x80" + b"{" * 900_000,
        b"\x80" + b"{ " * 400_000,
        b"\x80" + b"{" + b" " * 900_000,
        b"\x80" + (b'{"Account":{"x":"' + b"y" * 5_000) * 200,
        b'{"a":"' + b"{" * 900_000 + b'"}',
        b'{"a":[' + b"[]," * 300_000 + b"1]}",
        b'{"AccessToken":{"a":[' + b"{}," * 300_000 + b"1]}}",
        b"\x80" + b"a.eyJhbGciOiJub25lIn0.a " * 40_000,
    ],
)
def test_the_time_it_takes(value: bytes) -> None:
    """A megabyte chosen to be slow to search takes no more than moments: others wait for it."""
    began = time.process_time()
    session_values.read(value)
    assert time.process_time() - began < 2


def test_many_values_hide_no_token() -> None:
    """Behind more JSON values than are looked at, the ID token is found in the bytes."""
    session = json.dumps({"planted": [0] * (session_values.MAX_LOOKS + 1), "own": TOKEN})
    assert SEEN_IN_TOKEN == seen(session.encode())

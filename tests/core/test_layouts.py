"""Layouts: which keys are a stack's, what its values look like, and what is kept beside them; nothing is loaded."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from typing import Any

import pytest

from receiver.core.layouts import LAYOUTS, Layout, LayoutName
from receiver.core.layouts.cached_sign_in import CachedSignIn
from receiver.core.layouts.foreign_json import MAX_BYTES
from receiver.core.layouts.layout import STRING, WHOLE, Change, Raw, Value
from receiver.core.layouts.msal_cache import Holder, RefreshToken
from receiver.core.layouts.spring import EXPIRES, INDEX
from receiver.errors import BadValueError
from tests.evictor.written import id_token, tokens

OP = "https://op.example"
TOKEN = id_token(OP, "u1", "c1", sid="s1", iat=1)
DEFAULTS = {
    "prefix": None, "below": "", "apps_own": "", "key_is_account": False, "per": "user", "account_links": True,
    "fields": (STRING,), "swaps": True, "is_read": True, "shares_keys": False, "signs_text": False, "keep_empty": False,
}  # fmt: skip
MSAL: dict[str, Any] = {"shares_keys": True, "signs_text": True}
WEB: dict[str, Any] = {"per": "session", "account_links": False}


@pytest.mark.parametrize(
    ("name", "members"),
    [
        (
            "microsoft-identity-web",
            {
                "prefix": "", "key_is_account": True, "apps_own": "_AppTokenCache", "shares_keys": True,
                "fields": ("data", "absexp", "sldexp"),
            },
        ),
        ("msal-node", {**MSAL, "prefix": "", "key_is_account": True}),
        ("msal4j", {**MSAL, "keep_empty": True}),
        ("msal-python", {**MSAL, "key_is_account": True}),
        ("flask-session", {**WEB, "prefix": "session:"}),
        ("django-session", {**WEB, "prefix": ":1:django.contrib.sessions.cache"}),
        ("express-session", {**WEB, "prefix": "sess:"}),
        (
            "spring-session",
            {**WEB, "prefix": "spring:session:", "below": "sessions:", "fields": None, "swaps": False},
        ),
        ("keyed", {"fields": (), "swaps": False, "is_read": False}),
    ],
)  # fmt: skip
def test_what_each_layout_is(name: LayoutName, members: dict[str, Any]) -> None:
    """How a stack that was left as it comes names and stores its values, and what may be done to them."""
    layout = LAYOUTS[name]

    assert {**DEFAULTS, **members} == {member: getattr(layout, member, DEFAULTS[member]) for member in DEFAULTS}


def opened(name: LayoutName, raw: Raw | bytes) -> Value:
    """A value, looked into."""
    return LAYOUTS[name].open({STRING: raw} if isinstance(raw, bytes) else raw)


PICKLED = pickle.dumps({"_permanent": True})
FLASK: list[tuple[bytes, bool]] = [
    # Flask-Session's msgpack, with 1, with 16 and with 65,536 members or more; JSON; pickle of any protocol.
    (b"\x81\xaa_permanent\xc3", True),
    (b"\x8f\xaa_permanent\xc3", True),
    (b"\xde\x00\x10\xaa_permanent\xc3", True),
    (b"\xdf\x00\x01\x00\x00\xaa_permanent\xc3", True),
    (b"\xde\n\n\xaa_permanent\xc3", True),
    (b'{"_permanent":true}', True),
    (PICKLED, True),
    (pickle.dumps({"_permanent": True}, 2), True),
    (pickle.dumps({"_permanent": True}, 5), True),
    # A mapping that does not say it, and what says it and is no mapping, or no more than half of one.
    (b"\x81\xa5order\x4d", False),
    (pickle.dumps({"order": 77}), False),
    (b'{"permanent":true}', False),
    (b"\x80\xaa_permanent\xc3", False),
    (b"\x91\xaa_permanent", False),
    (b"\x81\xab__permanent\xc3", False),
    (b"\xde\x00", False),
    (b'["_permanent"]', False),
    (b'{"x":"_permanent"}', False),
    (b'{"_permanent":true', False),
    (b' {"_permanent":true}', False),
    (b"_permanent", False),
    (pickle.dumps("_permanent"), False),
    (pickle.dumps(["_permanent"]), False),
    (PICKLED[:-1], False),
    (b"x" + PICKLED, False),
    (b"\x80\x06" + PICKLED[2:], False),
]
DJANGO: list[tuple[bytes, bool]] = [
    (pickle.dumps({}), True),
    (pickle.dumps({"a": 1}), True),
    (pickle.dumps([1]), False),
    (pickle.dumps({"a": 1})[:-1], False),
    *((value, False) for value in (b"5", b"")),
]
EXPRESS: list[tuple[bytes, bool]] = [
    (b'{"cookie":{"originalMaxAge":null,"path":"/"}}', True),
    (b'{"cookie":{"consent":true}}', False),
    (b'{"cookie":"originalMaxAge"}', False),
    (b'{"cookie":["originalMaxAge"]}', False),
    (b'{"Cookie":{"originalMaxAge":null}}', False),
    (b'[{"cookie":{"originalMaxAge":null}}]', False),
    *((value, False) for value in (b'"originalMaxAge"', b"{}", b"")),
]
FERNET = b"gAAAAA" + b"x" * 92 + b"=="
NODE: list[tuple[bytes, bool]] = [
    *((FERNET, True), (FERNET[:-2], True)),
    (FERNET[:97] + b"=", False),
    (FERNET + b"=", False),
    (b"x" + FERNET, False),
    (b"eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVydGV4dA.dGFn", True),
    (b"eyJhbGciOiJkaXIifQ.a2V5.aXY.Y2lwaGVydGV4dA.dGFn", True),
    (b"eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVydGV4dA", False),
    (TOKEN.encode(), False),
    (b"5", False),
]
SIGNED: list[tuple[LayoutName, bytes, bool]] = [
    *(("flask-session", *row) for row in FLASK),
    *(("django-session", *row) for row in DJANGO),
    *(("express-session", *row) for row in EXPRESS),
    *(("msal-node", *row) for row in NODE),
]


@pytest.mark.parametrize(("name", "value", "bears"), SIGNED, ids=repr)
def test_signature_of_a_string(name: LayoutName, value: bytes, *, bears: bool) -> None:
    """What cannot be read may be deleted where it looks as the stack writes it, and nothing of another program does."""
    found = opened(name, value)

    assert (False, bears) == (found.readable, found.bears_signature)


SPRING = {"creationTime": b"1", "lastAccessedTime": b"1", "maxInactiveInterval": b"1"}
CIPHER = {"data": b"\x09\xf0\xc9\xf0...", "absexp": b"-1", "sldexp": b"-1"}


@pytest.mark.parametrize(
    ("name", "raw", "bears"),
    [
        ("microsoft-identity-web", CIPHER, True),
        ("microsoft-identity-web", {**CIPHER, "more": b"1"}, True),
        ("microsoft-identity-web", {**CIPHER, "data": b"x" + CIPHER["data"]}, False),
        ("microsoft-identity-web", {"data": CIPHER["data"], "absexp": b"-1"}, False),
        ("spring-session", SPRING, True),
        ("spring-session", {**SPRING, "sessionAttr:a": b"x"}, True),
        ("spring-session", {**SPRING, "total": b"1"}, False),
        ("spring-session", {"creationTime": b"1", "sessionAttr:a": b"x"}, False),
        # What a request saved after the session had been deleted.
        ("spring-session", {"lastAccessedTime": b"1"}, True),
        ("spring-session", {"sessionAttr:a": b"x"}, True),
        ("spring-session", {"lastAccessedTime": b"1", "total": b"1"}, False),
        ("keyed", {}, True),
    ],
)
def test_signature_of_a_hash(name: LayoutName, raw: dict[str, bytes], *, bears: bool) -> None:
    """All the fields that the stack writes, and for Spring no others."""
    found = opened(name, raw)

    assert (False, bears) == (found.readable, found.bears_signature)


@pytest.mark.parametrize(
    ("raw", "torn"),
    [
        ({"lastAccessedTime": b"1"}, True),
        ({"lastAccessedTime": b"1", "sessionAttr:t": TOKEN.encode()}, True),
        ({"lastAccessedTime": b"1", "total": b"1"}, False),
        (SPRING, False),
    ],
)
def test_torn_session(raw: dict[str, bytes], *, torn: bool) -> None:
    """Without the time of its creation it is what is left of a session, and says nothing."""
    found = opened("spring-session", raw)

    assert (torn, [], frozenset()) == (found.is_torn, found.sign_ins, found.problems)


def test_fields_of_a_session_are_read() -> None:
    """Each by itself, the longest first; a hash that has other fields is another program's, and raises so."""
    short, long = id_token(OP, "u2", "c1"), id_token(OP, "u1", "c1", sid="s" * 99)
    found = opened("spring-session", {**SPRING, "sessionAttr:a": short.encode(), "sessionAttr:b": long.encode()})

    assert ["u1", "u2"] == [sign_in.sub for sign_in in found.sign_ins]
    assert not found.is_torn
    with pytest.raises(BadValueError, match="shape"):
        LAYOUTS["spring-session"].read({**SPRING, "total": TOKEN.encode()})


def test_names_of_keys() -> None:
    """Which keys below a prefix are no values, how a stack names its own, and the set where it keeps a user's."""
    spring, web, node = (LAYOUTS[name] for name in ("spring-session", "microsoft-identity-web", "msal-node"))
    django, header = LAYOUTS["django-session"], b"\xac\xed\x00\x05t\x00\x08"

    assert [False, True] == [spring.is_beside(name) for name in ("a-b-c", "expires:a-b-c")]
    assert [True, False, False] == [web.is_beside(name) for name in ("c_AppTokenCache", "u1", "_AppTokenCache:u1")]
    assert not node.is_beside("u1")
    assert f"p:{INDEX}u1" == spring.index_of("p:", "u1")
    assert [f"p:{EXPIRES}a", f"p:{EXPIRES}b"] == spring.kept_beside("p:", ["a", "b"])
    assert [None, None, []] == [node.index_of("p:", "u1"), node.name_in(b"a"), node.kept_beside("p:", ["a"])]
    members = (header + b"a-b-c-d1", b'"a-b-c-d1"', b"a-b-c-d1", b"short", b"a-b-c-d1\xff", b"")
    assert ["a-b-c-d1"] * 3 + [None] * 3 == [spring.name_in(member) for member in members]
    names = ("a1" * 16, ":1:django.contrib.sessions.cache" + "a1" * 16, "django.contrib.sessions.cached_db" + "a1" * 16)
    others = ("profile:" + "a1" * 16, "A1" * 16, "a1" * 15, "a1" * 16 + "b", "a1" * 16 + "\n")
    assert [True] * 3 + [False] * 5 == [django.is_name(name) for name in (*names, *others)]
    assert node.is_name("anything")


@pytest.mark.parametrize("name", ["flask-session", "django-session", "express-session"])
def test_session_is_read_and_goes_whole(name: LayoutName) -> None:
    """A session with an ID token is its user's, and is deleted; one without is not read, so that its looks decide."""
    found = opened(name, json.dumps({"idToken": TOKEN}).encode())

    assert found.readable
    assert {WHOLE: [CachedSignIn(iss=OP, client_ids=("c1",), sub="u1", sid="s1", issued_at=1.0)]} == found.holders
    assert Change(None, {WHOLE: ()}) == LAYOUTS[name].without(found, {WHOLE})
    assert (False, {}) == ((nothing := opened(name, b"{}")).readable, nothing.holders)


def test_refresh_tokens_of_a_session() -> None:
    """Those of the cache in it go with it, to be revoked."""
    found = opened("express-session", json.dumps({"cache": tokens(OP)}).encode())

    [token] = found.refresh_tokens
    assert RefreshToken("c1", "rt-u1-login.example.com-c1") == token
    assert {WHOLE: (token,)} == LAYOUTS["express-session"].without(found, {WHOLE}).refresh_tokens


def test_what_a_value_says() -> None:
    """All its sign-ins and accounts, and whether there were more than were looked at."""
    known, other = CachedSignIn(account="a1"), CachedSignIn(sub="u1")
    value = Value({}, {Holder("a1", "c1"): [known, other], Holder("a2", None): [known]}, readable=True)

    assert ([known, other, known], {"a1"}, False) == (value.sign_ins, value.accounts, value.is_partial)
    assert Value({}, {}, readable=True, problems=frozenset({"too_many"})).is_partial
    assert (True, False, Change(None)) == (value.bears_signature, value.is_torn, Change(None, {}, None))


def test_value_may_be_printed_and_compared() -> None:
    """Without the tokens in it; an exception is none of what it says."""
    value = Value({}, {}, readable=False, error=ValueError("x"), refresh_tokens=(RefreshToken("c1", "secret"),))

    assert not [hidden for hidden in ("secret", "ValueError") if hidden in repr(value)]
    assert value == replace(value, error=None)
    assert value != replace(value, refresh_tokens=())


@dataclass(frozen=True, kw_only=True)
class Strange(Layout):
    """A layout whose reading fails in a way of its own."""

    raises: Exception

    def read(self, _raw: Raw) -> Value:
        """Never."""
        raise self.raises

    def bears_signature(self, raw: Raw) -> bool:
        """By its bytes."""
        return raw[STRING] == b"mine"


@pytest.mark.parametrize(
    ("raises", "problems", "is_error"),
    [
        (BadValueError("too_many"), {"too_many"}, False),
        # It is another program's, or encrypted: nothing bad is said of it.
        (BadValueError("not_json"), set(), False),
        (BadValueError("shape"), set(), False),
        (RecursionError(), {"error"}, True),
    ],
    ids=repr,
)
def test_value_that_cannot_be_read(raises: Exception, problems: set[str], *, is_error: bool) -> None:
    """Nothing is raised: why it was passed over is said, and whether it looks like the stack's own."""
    found = [Strange(raises=raises).open({STRING: raw}) for raw in (b"mine", b"other")]

    assert [(False, True), (False, False)] == [(value.readable, value.bears_signature) for value in found]
    assert [(problems, [])] * 2 == [(set(value.problems), value.sign_ins) for value in found]
    assert (raises if is_error else None) is found[0].error


@pytest.mark.parametrize(("size", "problems"), [(MAX_BYTES, set()), (MAX_BYTES + 1, {"too_large"})])
def test_value_that_is_too_large(size: int, problems: set[str]) -> None:
    """Beyond 16 MiB in all its fields it is not looked into."""
    half = b" " * (size // 2)
    found = opened("keyed", {"a": half, "b": b" " * (size - len(half))})

    assert (16 * 1024 * 1024, problems) == (MAX_BYTES, set(found.problems))

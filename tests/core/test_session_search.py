"""Where in a session its user is looked for, and up to which limit; `test_session_values` has whole sessions."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from receiver.core.layouts import session_values
from receiver.core.layouts.cached_sign_in import CachedSignIn
from receiver.core.layouts.msal_cache import RefreshToken
from receiver.core.layouts.session_values import SessionValue, read
from tests.evictor.written import id_token, merged, tokens

OP = "https://op.example"
CLAIMS = {"iss": OP, "sub": "u1", "aud": "c1", "sid": "s1"}
USER = CachedSignIn(iss=OP, sub="u1", sid="s1", client_ids=("c1",))
NO_FORM = b"\xff"
"""A first byte of no form that is known, so that what follows is searched as bytes."""

NONE: frozenset[str] = frozenset()
TOO_MANY = frozenset({"too_many"})
LEVELS, SIGN_INS, LOOKS, ATTEMPTS = 6, 256, 100_000, 16


def of(value: Any) -> SessionValue:
    """What is in a session kept as JSON."""
    return read(json.dumps(value).encode())


def subjects(found: SessionValue) -> list[str | None]:
    """Of its sign-ins."""
    return [sign_in.sub for sign_in in found.sign_ins]


def token(sub: str) -> str:
    """An ID token as apps keep it."""
    return id_token(OP, sub, "c1")


def escaped(sub: str) -> bytes:
    """An ID token as a JSON text that shows it to those alone who read JSON."""
    return json.dumps(token(sub)).replace("eyJ", "e\\u0079J").encode()


def account(number: int) -> dict[str, str]:
    """MSAL Node's, without claims."""
    return {"homeAccountId": f"a{number}"}


@pytest.mark.parametrize(
    "session",
    [
        CLAIMS, {"user": CLAIMS}, [CLAIMS], {"user": json.dumps(CLAIMS)}, json.dumps(CLAIMS),
        {"homeAccountId": "other", "user": CLAIMS}, {**CLAIMS, "aud": ["java.util.ArrayList", ["c1"]]},
        {**CLAIMS, "iss": ["java.net.URL", OP]}, {**CLAIMS, "address": {"country": "x", "city": "y"}, "iat": None},
    ],
)  # fmt: skip
def test_claims(session: Any) -> None:
    """In objects and lists, in text that is JSON again, and with the names of Java's classes."""
    assert USER in of(session if not isinstance(session, list) else {"list": session}).sign_ins


@pytest.mark.parametrize("form", [bytes, str])
def test_claims_in_bytes_and_text_of_another_form(form: type) -> None:
    """A form in a form is taken apart, too."""
    inner = json.dumps(CLAIMS)

    assert (USER,) == read(msgspec.msgpack.encode({"a": inner if form is str else inner.encode()})).sign_ins


@pytest.mark.parametrize(
    "session",
    [
        {name: CLAIMS[name] for name in ("iss", "sub", "sid")}, {**CLAIMS, "aud": ""}, {**CLAIMS, "sub": None},
        {"a": "{"}, {"a": "["}, {"a": "eyJ"}, {"a": 5, "b": None}, {"a": {}}, {}, [], "text", 5,
        {"homeAccountId": ""}, {"homeAccountId": 5},
    ],
)  # fmt: skip
def test_what_names_no_user(session: Any) -> None:
    """It says nothing, and nothing bad is said of it."""
    assert SessionValue() == of(session)


@pytest.mark.parametrize(
    ("aud", "clients"),
    [
        (["c1", "c2"], ("c1", "c2")),
        (["java.app"], ("java.app",)),
        (["java.app", "c1", "c2"], ("java.app", "c1", "c2")),
        (["c1", "java.app"], ("c1", "java.app")),
        (["javaapp", "c1"], ("javaapp", "c1")),
    ],
)
def test_clients_that_look_like_a_java_class(aud: list[str], clients: tuple[str, ...]) -> None:
    """Only a pair whose first begins as Java's packages do is a value with its class."""
    [sign_in] = of({**CLAIMS, "aud": aud}).sign_ins

    assert sorted(clients) == sorted(sign_in.client_ids)


@pytest.mark.parametrize(
    ("kept", "sign_in"),
    [
        ({}, CachedSignIn(account="a")),
        ({"idTokenClaims": "text"}, CachedSignIn(account="a")),
        ({"idTokenClaims": {"sub": "u1"}}, CachedSignIn(account="a")),
        ({"idTokenClaims": CLAIMS}, CachedSignIn(iss=OP, sub="u1", sid="s1", client_ids=("c1",), account="a")),
        ({"other": CLAIMS}, USER),
    ],
)
def test_account_of_msal_node(kept: dict[str, Any], sign_in: CachedSignIn) -> None:
    """With its claims where it has some that name a user, else alone, if no other sign-in may be of the account."""
    assert (sign_in,) == of({"homeAccountId": "a", **kept}).sign_ins


def test_name_that_is_too_long() -> None:
    """It is said, and the session is read all the same."""
    assert SessionValue(problems=frozenset({"long_name"})) == of({"homeAccountId": "x" * 513})
    assert SessionValue(problems=frozenset({"long_name"})) == of({**CLAIMS, "iss": "x" * 513})
    assert SessionValue((USER,), problems=frozenset({"long_name"})) == of({"homeAccountId": "x" * 513, "a": CLAIMS})


def test_cache() -> None:
    """Its sign-ins with account and age, its refresh tokens, and nothing of it a second time as a plain ID token."""
    blob = tokens(OP, account="a", client="c1", cached_at=40, aud=["c1", "c2"])

    found = of({"cache": json.dumps(blob)})

    assert [("u1", "a", 40, ("c1",))] == [(s.sub, s.account, s.oldest_token_at, s.client_ids) for s in found.sign_ins]
    assert (RefreshToken("c1", "rt-a-login.example.com-c1"),) == found.refresh_tokens
    plain = json.dumps(tokens(OP, account="a", cached_at=40))
    assert of(plain) == read(NO_FORM + plain.encode() + NO_FORM)


def test_cache_that_is_none() -> None:
    """It is said; the rest is read."""
    assert SessionValue((USER,), problems=frozenset({"shape"})) == of({"a": {"Account": 5, "user": CLAIMS}})
    assert SessionValue(problems=frozenset({"shape"})) == read(NO_FORM + b'{"Account": {"a": 5}}')


@pytest.mark.parametrize(("levels", "found"), [(LEVELS, (USER,)), (LEVELS + 1, ())])
@pytest.mark.parametrize("kind", ["object", "list"])
def test_levels(kind: str, levels: int, found: tuple[CachedSignIn, ...]) -> None:
    """Down to the seventh."""
    value: Any = CLAIMS
    for _ in range(levels):
        value = {"a": value} if kind == "object" else [value]

    assert found == of(value).sign_ins


def test_levels_of_text() -> None:
    """Text that holds a form is a level of its own."""
    value: Any = CLAIMS
    for _ in range(LEVELS // 2):
        value = {"a": json.dumps(value)}

    assert (USER,) == of(value).sign_ins
    assert () == of([value]).sign_ins


def test_bytes_behind_a_form() -> None:
    """A token in the middle of a text is found: in JSON if nothing else is in it, in other forms always."""
    own, logged = {"token": token("u1")}, {"log": f"Bearer x{token('u2')}"}

    assert ["u2"] == subjects(of(logged))
    assert ["u1"] == subjects(of({**own, **logged}))
    assert ["u1", "u2"] == subjects(read(msgspec.msgpack.encode({**own, **logged})))
    assert ["u2"] == subjects(read(msgspec.msgpack.encode(logged)))
    assert ["u1", "u2"] == subjects(read(json.dumps(own).encode(), NO_FORM + json.dumps(logged).encode()))


def test_token_that_only_json_shows() -> None:
    """It is read as a value."""
    assert ["u1"] == subjects(read(b'{"a":%b}' % escaped("u1")))
    assert [] == subjects(read(NO_FORM + escaped("u1")))


def test_form_beyond_a_limit() -> None:
    """It is said which limit; bytes in no form are nothing bad."""
    assert {"too_deep"} == read(b'{"a":' + b"[" * 65 + b"]" * 65 + b"}").problems
    assert {"too_deep"} == read(NO_FORM + b'{"Account":{"a":' + b"[" * 65 + b"]" * 65 + b"}}").problems
    assert {"too_deep"} == of({"a": '{"a":' + "[" * 65 + "]" * 65 + "}"}).problems
    assert SessionValue() == read(NO_FORM, b"", b"{", b"\x80.", NO_FORM + b'{"Account":{')


@pytest.mark.parametrize(
    ("broken", "cache", "seen", "problems"),
    [
        (ATTEMPTS - 1, True, ["u1"], NONE),
        (ATTEMPTS, False, [], NONE),
        (ATTEMPTS, True, [], TOO_MANY),
        (0, True, ["u1"], NONE),
    ],
)  # fmt: skip
def test_beginnings_of_caches(broken: int, seen: list[str], problems: frozenset[str], *, cache: bool) -> None:
    """Sixteen that turn out to be none end the search."""
    blob = json.dumps(tokens(OP, client="c1")) if cache else ""
    text = '{"Account":{;' * broken + blob.replace("eyJ", "e\\u0079J")

    found = read(NO_FORM + text.encode())

    assert (seen, problems) == (subjects(found), found.problems)


def test_several_caches_in_bytes() -> None:
    """Also one behind another one, and one that is in the middle of what looked like one."""
    first, second = (json.dumps({"Account": {"k": {"home_account_id": who}}}) for who in ("a", "b"))

    assert {"a", "b"} == {one.account for one in read(NO_FORM + (first + second).encode()).sign_ins}
    assert ["a"] == [one.account for one in read(NO_FORM + b'{"Account":' + first.encode()).sign_ins]


@pytest.mark.parametrize(
    ("numbers", "seen", "problems"), [(LOOKS - 2, ["u1"], NONE), (LOOKS - 1, [], TOO_MANY)]
)  # fmt: skip
def test_values_that_are_looked_at(numbers: int, seen: list[str], problems: frozenset[str]) -> None:
    """A hundred thousand, the outermost one included."""
    found = read(b"[" + b"0," * numbers + escaped("u1") + b"]")

    assert (seen, problems) == (subjects(found), found.problems)


@pytest.mark.parametrize(("others", "seen", "problems"), [(LOOKS - 1, ["u1"], NONE), (LOOKS, [], TOO_MANY)])
def test_tokens_that_are_looked_at(others: int, seen: list[str], problems: frozenset[str]) -> None:
    """In bytes as many again, however many values were looked at before."""
    session = b"[" + b"0," * LOOKS + b"1]"
    found = read(NO_FORM + b"a.eyJaaaaaaaa." * others + f" {token('u1')}".encode())

    assert (seen, problems) == (subjects(found), found.problems)
    assert ["u1"] == subjects(read(session[:-1] + b',".' + token("u1").encode() + b'"]'))


def test_many_values_behind_a_token() -> None:
    """What is behind them is looked for in the bytes, also where a sign-in was found before them."""
    session = {"first": token("u1"), "planted": [0] * LOOKS, "own": token("u2")}

    assert ["u1", "u2"] == subjects(of(session))


@pytest.mark.parametrize("size", [1, 16])
@pytest.mark.parametrize("part", [b"[],", b"{},", b'{"a":1},', b"1,", b'"{}",', b'"a.eyJhbGciOiJub25lIn0.a",'])
def test_what_is_looked_at_is_bounded(monkeypatch: pytest.MonkeyPatch, part: bytes, size: int) -> None:
    """Neither the size of a session nor what it is made of lets more be looked at than the limit says."""
    looks = 0
    look = session_values._Search._looks_on

    def counted(search: session_values._Search) -> bool:
        nonlocal looks
        looks += 1
        return look(search)

    monkeypatch.setattr(session_values._Search, "_looks_on", counted)
    monkeypatch.setattr(session_values, "MAX_LOOKS", 1000)
    value = b'{"a":[' + part * (size * 65_536 // len(part)) + b"1]}"
    assert "too_many" in session_values.read(value).problems
    assert looks <= 2 * (1000 + 1)


@pytest.mark.parametrize(
    ("there", "seen", "problems"), [(SIGN_INS, SIGN_INS, NONE), (SIGN_INS + 1, SIGN_INS, TOO_MANY)]
)  # fmt: skip
def test_number_of_sign_ins(there: int, seen: int, problems: frozenset[str]) -> None:
    """Two hundred and fifty-six, in one cache or beside each other."""
    beside = of({"a": [account(number) for number in range(there)]})
    one_cache = of({"Account": {str(number): {"home_account_id": f"a{number}"} for number in range(there)}})

    assert (seen, problems) == (len(beside.sign_ins), beside.problems)
    assert (seen, problems) == (len(one_cache.sign_ins), one_cache.problems)


def test_the_same_sign_in_many_times() -> None:
    """What comes behind the limit is not seen, and that is said."""
    found = of({"a": [CLAIMS] * (SIGN_INS + 1) + [{**CLAIMS, "sub": "u2"}]})

    assert SessionValue((USER,), problems=frozenset(TOO_MANY)) == found


def named(who: str, **claims: Any) -> dict[str, Any]:
    """An account with claims."""
    return {"homeAccountId": who, "idTokenClaims": {**CLAIMS, **claims}}


@pytest.mark.parametrize(
    ("kept", "seen"),
    [
        # A sign-in that is known twice has the account of the one that knows it, the first one's where both do.
        ([CLAIMS, named("a")], [("u1", "a")]),
        ([named("a"), CLAIMS], [("u1", "a")]),
        ([named("a"), named("b")], [("u1", "a")]),
        ([CLAIMS, CLAIMS], [("u1", None)]),
        # Each of these makes it another one.
        ([CLAIMS, {**CLAIMS, "sub": "u2"}], [("u1", None), ("u2", None)]),
        ([CLAIMS, {**CLAIMS, "sid": "s2"}], [("u1", None), ("u1", None)]),
        ([CLAIMS, {**CLAIMS, "aud": "c2"}], [("u1", None), ("u1", None)]),
        ([CLAIMS, {**CLAIMS, "auth_time": 5}], [("u1", None), ("u1", None)]),
        ([CLAIMS, {**CLAIMS, "iss": "https://other.example"}], [("u1", None), ("u1", None)]),
        # An account alone is left out where a sign-in is, or may be, of the same account.
        ([account(1), account(1)], [(None, "a1")]),
        ([account(1), account(2)], [(None, "a1"), (None, "a2")]),
        ([account(1), CLAIMS], [("u1", None)]),
        ([account(1), named("a1")], [("u1", "a1")]),
        ([account(1), named("b")], [(None, "a1"), ("u1", "b")]),
        ([account(1), CLAIMS, named("b", sub="u2")], [("u1", None), ("u2", "b")]),
    ],
)
def test_each_sign_in_once(kept: list[Any], seen: list[tuple[str | None, str | None]]) -> None:
    """However often and in whichever shape a session names it."""
    assert seen == [(sign_in.sub, sign_in.account) for sign_in in of({"kept": kept}).sign_ins]


def test_caches_come_first() -> None:
    """A sign-in of a cache has the age of its tokens, and keeps it where the claims are found again."""
    blob = merged(tokens(OP, account="a", client="c1", sid="s1", cached_at=40))
    found = of({"user": {**CLAIMS, "iat": 1}, "cache": json.dumps(blob)})

    assert [("a", 40)] == [(one.account, one.oldest_token_at) for one in found.sign_ins]

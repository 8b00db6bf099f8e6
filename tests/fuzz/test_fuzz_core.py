"""Properties of the core's readers: documented refusals only, and nothing lost on the way through."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.core.eviction import Eviction, Input, Scope, SessionKeys
from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.tenants import AppliesTo
from receiver.core.tokens.jwks import parse_key_set
from receiver.core.tokens.strict_json import MAX_DEPTH, parse_object
from receiver.errors import BadEventError, Code, LogoutTokenError
from tests.fuzz.logout_requests import is_fit
from tests.fuzz.oracle import ALPHABET
from tests.fuzz.strategies import examples, json_values
from tests.fuzz.worlds import b64, lax
from tests.support.clock import NOW
from tests.support.keys import ec_pair, ed25519_pair, rsa_pair
from tests.support.parsed import parse_jws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

SHAPE_CODES = {Code.MALFORMED, Code.DUPLICATE_MEMBER, Code.TOKEN_TOO_LARGE, Code.ALG, Code.CRIT, Code.NOT_SIGNED}

json_texts = json_values.map(json.dumps).map(str.encode)
segments = st.text(ALPHABET, max_size=30) | st.binary(max_size=30).map(b64) | json_texts.map(b64)


def _or_code(read: Callable[..., T], *arguments: object) -> T | Code:
    """What is read, or why it is refused."""
    try:
        return read(*arguments)
    except LogoutTokenError as error:
        return error.code


@examples(600)
@given(token=st.text(max_size=80) | st.lists(segments, min_size=2, max_size=6).map(".".join))
@example(token="..")
@example(token="a" * 20_000)
def test_parse_jws_refuses_in_its_own_words(token: str) -> None:
    """Any text is taken apart or refused with a code of the token's shape."""
    parsed = _or_code(parse_jws, token)

    if isinstance(parsed, Code):
        assert parsed in SHAPE_CODES
    else:
        assert token == f"{parsed.signing_input.decode()}.{b64(parsed.signature)}"
        assert parsed.header["alg"] == parsed.alg


@examples(600)
@given(text=st.binary(max_size=60) | json_texts)
@example(text=b"[" * 17 + b'"' + b'\\"' * 9000)
@example(text=b'{"a":' * 5000)
@example(text=b'{"a":1e400}')
@example(text=b'{"a":NaN}')
@example(text=b'{"a":' + b"9" * 5000 + b"}")
def test_parse_object_refuses_in_its_own_words(text: bytes) -> None:
    """Any bytes are one finite, shallow object without repeated names, or refused as malformed or duplicate."""
    parsed = _or_code(parse_object, text, "payload")

    if isinstance(parsed, Code):
        assert parsed in {Code.MALFORMED, Code.DUPLICATE_MEMBER}
    else:
        assert parsed == json.loads(text)
        assert _depth(parsed) <= MAX_DEPTH
        assert all(math.isfinite(number) for number in _numbers(parsed))


def _depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0


def _numbers(value: object) -> list[float]:
    match value:
        case dict():
            return [number for member in value.values() for number in _numbers(member)]
        case list():
            return [number for entry in value for number in _numbers(entry)]
        case float():
            return [value]
        case _:
            return []


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
optional_texts = st.none() | texts


def _evictions(scope: Scope, **named: st.SearchStrategy[str]) -> st.SearchStrategy[Eviction]:
    """Evictions of one scope; `named` is the claim that the scope is about, so it is always there."""
    return st.builds(
        Eviction,
        id=texts,
        tenant=texts,
        iss=texts,
        client_id=optional_texts,
        jti=optional_texts,
        scope=st.just(scope),
        applies_to=st.sampled_from(get_args(AppliesTo)),
        logout_at=st.integers(0, MAX_NUMERIC_DATE),
        received_at=st.integers(0, 4_102_444_800_000).map(lambda milliseconds: milliseconds / 1000),
        input=st.sampled_from(get_args(Input)) | texts,
        origin=optional_texts,
        reason=optional_texts,
        accounts=st.lists(texts, max_size=3).map(tuple),
        sessions=st.lists(st.builds(SessionKeys, texts, st.lists(texts, max_size=3).map(tuple)), max_size=2).map(tuple),
        **{"sub": optional_texts, "sid": optional_texts, **named},
    )


evictions = _evictions("user", sub=texts) | _evictions("session", sid=texts)


@examples(600)
@given(eviction=evictions)
def test_eviction_survives_the_wire(eviction: Eviction) -> None:
    """What is published is what an app reads, as text and as bytes."""
    assert Eviction.from_json(eviction.to_json()) == eviction
    assert Eviction.from_json(eviction.to_json().encode()) == eviction


def _set(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        tree = tree[name]
    tree[path[-1]] = value


def _wire(scope: Scope, sid: str | None) -> str:
    return Eviction(
        id="e", tenant="t1", iss="i", sub="u", sid=sid, scope=scope, logout_at=NOW, received_at=NOW, origin="o"
    ).to_json()


USER, SESSION = _wire("user", None), _wire("session", "s")
PLACES = [(name,) for name in json.loads(USER)] + [("data", name) for name in json.loads(USER)["data"]]


def _expected(data: dict[str, Any]) -> dict[str, Any]:
    """What an app reads where it reads at all: an unknown scope gives way to what is named, a doubt to the tenant."""
    scope = "session" if data["sid"] is not None else "user"
    if data["scope"] == "user" and data["sub"] is not None:
        scope = "user"
    given = {name: value for name, value in data.items() if (name, value) != ("origin", None)}
    return given | {"scope": scope, "applies_to": "client" if data["applies_to"] == "client" else "tenant"}


@examples(600)
@given(wire=st.sampled_from([USER, SESSION]), place=st.sampled_from(PLACES), value=json_values)
@example(wire=USER, place=("time",), value="0001-01-01T00:00:00+23:59")
@example(wire=USER, place=("time",), value="9999-12-31T23:59:59-23:59")
@example(wire=USER, place=("time",), value="2026-11-20T12:00:00")
@example(wire=USER, place=("data", "logout_at"), value=True)
@example(wire=USER, place=("data", "logout_at"), value=-1)
@example(wire=USER, place=("data", "logout_at"), value=MAX_NUMERIC_DATE)
@example(wire=USER, place=("data", "logout_at"), value=MAX_NUMERIC_DATE + 1)
@example(wire=USER, place=("data", "accounts"), value="abc")
@example(wire=USER, place=("data", "accounts"), value={"abc": 1})
@example(wire=USER, place=("data", "sessions"), value={})
@example(wire=USER, place=("data", "sub"), value=None)
@example(wire=USER, place=("data", "scope"), value="session")
@example(wire=USER, place=("data", "scope"), value="of a later version")
@example(wire=SESSION, place=("data", "scope"), value="of a later version")
@example(wire=SESSION, place=("data", "scope"), value="user")
@example(wire=SESSION, place=("data", "sub"), value=None)
@example(wire=USER, place=("data", "applies_to"), value="of a later version")
@example(wire=USER, place=("data", "applies_to"), value="client")
def test_entry_with_any_member_changed_is_read_or_refused(wire: str, place: tuple[str, ...], value: object) -> None:
    """With any value in one member of an entry, an app gets what is written there or `BadEventError`."""
    entry = json.loads(wire)
    _set(entry, place, value)

    try:
        eviction = Eviction.from_json(json.dumps(entry))
    except BadEventError:
        return
    assert json.loads(eviction.to_json())["data"] == _expected(entry["data"])
    assert 0 <= eviction.logout_at <= MAX_NUMERIC_DATE
    assert datetime.fromisoformat(str(entry["time"])).tzinfo is not None


@pytest.mark.parametrize("scope", ["session", "of a later version"])
@pytest.mark.parametrize(("wire", "expected"), [(USER, "user"), (SESSION, "session")])
def test_scope_that_does_not_fit_is_still_a_logout(wire: str, expected: str, scope: str) -> None:
    """A scope that is unknown, or names what is not there, refuses no logout."""
    entry = json.loads(wire)
    entry["data"]["scope"] = scope

    assert expected == Eviction.from_json(json.dumps(entry)).scope


@examples(600)
@given(text=st.binary(max_size=60) | json_texts | st.text(max_size=60))
@example(text="[" * 100_000)
def test_any_entry_is_read_or_refused(text: str | bytes) -> None:
    """Any stream entry at all is an eviction or `BadEventError`."""
    with contextlib.suppress(BadEventError):
        assert Eviction.from_json(text).scope in get_args(Scope)


GOOD_KEYS: list[dict[str, Any]] = [
    rsa_pair("k1").published(),
    ec_pair("k2").published(),
    ec_pair("k3", "P-521").published(),
    ed25519_pair("k4").published(),
]
BAD_KEYS: list[dict[str, Any]] = [
    rsa_pair("weak", 1024).published(),
    {"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"},
    {**ec_pair("k2").published(), "d": "AQAB"},
    {**ed25519_pair("k4").published(), "d": "AQAB"},
    {**ec_pair("k2").published(), "crv": "P-384"},
    {**rsa_pair("k1").published(), "e": "Aw"},
    {**rsa_pair("k1").published(), "n": "_" * 12_000},
]
members = st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "issuer", "n", "e", "x", "y", "d", "k", "oth"])
values = json_values | st.sampled_from(
    ["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "Ed448", "secp256k1", "enc", ["verify"]]
)
keys = (
    st.sampled_from(GOOD_KEYS + BAD_KEYS)
    | st.builds(
        lambda key, changes: {**key, **changes},
        st.sampled_from(GOOD_KEYS + BAD_KEYS),
        st.dictionaries(members, values | st.text(ALPHABET, max_size=60), max_size=3),
    )
    | json_values
)


@examples(600)
@given(document=st.lists(keys, max_size=4).map(lambda given_keys: {"keys": given_keys}) | json_values)
def test_key_set_yields_fit_keys_only(document: object) -> None:
    """Any document gives public, strong keys of known types, or `ValueError`; never anything else."""
    try:
        key_set = parse_key_set(document)
    except ValueError:
        return
    assert all(is_fit(key) for key in key_set.keys)
    assert key_set.keys or key_set.unusable


@examples(300)
@given(junk=st.lists(st.sampled_from(BAD_KEYS) | json_values, max_size=5), data=st.data())
def test_junk_never_spoils_a_good_key(junk: list[object], data: st.DataObject) -> None:
    """A good key is found among any others, and is the one that verifies."""
    good = data.draw(st.sampled_from(GOOD_KEYS))
    mixed = data.draw(st.permutations([*junk, {**good, "kid": "the good one"}]))

    key_set = parse_key_set({"keys": mixed})

    assert "the good one" in {key.kid for key in key_set.keys}


def test_published_keys_are_fit() -> None:
    """The measure itself: every key of a real set passes it."""
    document: Mapping[str, Any] = lax(RS256=rsa_pair("k1").private).key_set

    assert [True, True, True] == [is_fit(key) for key in parse_key_set(document).keys]

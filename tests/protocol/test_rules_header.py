"""The rules on header and serialisation: what must pass, and what must not (RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from receiver.core.tokens.jws import (
    MAX_TOKEN_BYTES,
    check_algorithm_name,
    check_extensions,
    check_shape,
    decode_base64url,
)
from receiver.core.tokens.registration import check_algorithm, check_type
from receiver.core.tokens.strict_json import MAX_DEPTH, parse_object
from receiver.errors import Code, LogoutTokenError
from tests.protocol.asked import refusal
from tests.protocol.baseline import TENANT, token
from tests.support.op import ABSENT
from tests.support.parsed import parse_jws


def test_type_is_a_logout_tokens_or_says_nothing() -> None:
    """`typ` is absent, `JWT` or `logout+jwt`, in any case and with or without `application/`; nothing else."""
    for typ in ("logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT", "jwt"):
        check_type({"typ": typ}, require_typ=False)
    check_type({}, require_typ=False)
    for typ in ("at+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "logout", "xlogout+jwt", ""):
        assert Code.TYP == refusal(check_type, {"typ": typ}, require_typ=False)


def test_type_may_be_required() -> None:
    """With `require_typ` only the explicit type passes (OWASP ASVS 10.5.5)."""
    for typ in ("logout+jwt", "application/logout+jwt"):
        check_type({"typ": typ}, require_typ=True)
    for header in ({}, {"typ": "JWT"}):
        assert Code.TYP == refusal(check_type, header, require_typ=True)


def test_wrapped_token_is_refused() -> None:
    """A signed token that says it holds another one (`cty`) is not a logout token."""
    assert Code.TYP == refusal(check_type, {"typ": "logout+jwt", "cty": "JWT"}, require_typ=False)


def test_algorithm_is_one_that_was_registered() -> None:
    """Letter by letter, and never one that takes a public key for a secret, even if configured (RFC 8725 §3.1)."""
    tenant = replace(TENANT, algorithms=frozenset({"RS256", "HS256", "none"}))

    assert "RS256" == check_algorithm("RS256", tenant)
    for alg in ("rs256", "RS384", "HS256", "none", "None", ""):
        assert Code.ALG == refusal(check_algorithm, alg, tenant)


@pytest.mark.parametrize("extension", [{"crit": ["exp2"], "exp2": 1}, {"crit": []}, {"crit": "exp"}, {"crit": None}])
def test_critical_extensions_are_refused(extension: dict[str, object]) -> None:
    """`crit` in any form is refused: we understand no extension (RFC 7515 §4.1.11)."""
    check_extensions({"alg": "RS256"})
    assert Code.CRIT == refusal(check_extensions, {"alg": "RS256", **extension})


@pytest.mark.parametrize("extension", [{"b64": False, "crit": ["b64"]}, {"b64": False}, {"b64": True}])
def test_unencoded_payloads_are_refused(extension: dict[str, object]) -> None:
    """`b64` must not be used with a JWT (RFC 7797 §7)."""
    assert Code.CRIT == refusal(check_extensions, {"alg": "RS256", **extension})


def test_header_members_have_their_types() -> None:
    """`alg`, `typ`, `cty` and `kid` are strings."""
    for alg in (ABSENT, None, 5, ["RS256"]):
        header = {"alg": alg} if alg is not ABSENT else {}
        assert Code.ALG == refusal(check_algorithm_name, header)
    for name in ("typ", "cty", "kid"):
        wrong: list[Any] = [1, {}, ["x"]]
        for value in wrong:
            assert Code.MALFORMED == refusal(parse_jws, token(header={name: value}))
    assert parse_jws(token(header={"kid": None})).kid is None


def test_only_compact_serialisation() -> None:
    """Three or five base64url segments, and no other character (RFC 7515 §3.1, RFC 8725bis §3.14)."""
    assert (3, 3, 5) == (check_shape("YQ.YQ.YQ"), check_shape("YQ.YQ."), check_shape("YQ.YQ.YQ.YQ.YQ"))
    for text in ("", "invalid", "a.b", "a.b.c.d", "a.b.c.d.e.f", "..", '{"payload":""}', "YQ.YQ.YQ=", "Y+.YQ.YQ"):
        assert Code.MALFORMED == refusal(check_shape, text)
    for text in (".YQ.YQ", "YQ.YQ.YQ\n", " YQ.YQ.YQ", "YQ.\nYQ.YQ", "YQ.YQ.Y\u0661", "\ufeffYQ.YQ.YQ"):
        assert Code.MALFORMED == refusal(check_shape, text)


def test_token_has_a_longest_length() -> None:
    """A token longer than 16 KiB is refused before anything in it is decoded."""
    assert 16 * 1024 == MAX_TOKEN_BYTES
    assert 3 == check_shape("YQ.YQ." + "a" * (MAX_TOKEN_BYTES - 6))
    assert Code.TOKEN_TOO_LARGE == refusal(check_shape, "YQ.YQ." + "a" * (MAX_TOKEN_BYTES - 5))


def test_base64url_is_canonical() -> None:
    """Only one text decodes to given bytes: no padding, no stray trailing bits, no impossible length."""
    assert (b"", b"a", b"\xff\xfe") == tuple(map(decode_base64url, ("", "YQ", "__4")))
    for segment in ("YR", "YQ==", "a", "YQ\n", "//4", "YWJj\n\n\n\n", "YWJj++++", "YWJj===="):
        assert Code.MALFORMED == refusal(decode_base64url, segment)


def test_json_is_one_object() -> None:
    """Header and payload are one JSON object in UTF-8, without a byte order mark (RFC 7519 §7.2)."""
    assert {"a": "é"} == parse_object('{"a":"é"}'.encode(), "payload")
    for text in (b"", b"[]", b'"x"', b"null", b"{} {}", b"{'a':1}", b'{"a":"\xe9"}', b"\xef\xbb\xbf{}", b'{"a":1,}'):
        with pytest.raises(LogoutTokenError, match=r"^the payload is not ") as caught:
            parse_object(text, "payload")
        assert Code.MALFORMED == caught.value.code


@pytest.mark.parametrize(("part", "name"), [(0, "header"), (1, "payload")])
def test_part_that_is_no_json_is_named(part: int, name: str) -> None:
    """The operator is told which one it is."""
    parts = token().split(".")
    parts[part] = "YQ"
    with pytest.raises(LogoutTokenError, match=rf"^the {name} is not JSON"):
        parse_jws(".".join(parts))


def test_json_names_are_unique() -> None:
    """A repeated member name is refused at every level, however it is spelt (RFC 7515 §4, RFC 7519 §4)."""
    assert {"a": {"a": 1}} == parse_object(b'{"a":{"a":1}}', "payload")
    for text in (b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":2}}', b'{"x":[{"a":1,"a":2}]}'):
        assert Code.DUPLICATE_MEMBER == refusal(parse_object, text, "payload")


def test_json_has_a_deepest_level() -> None:
    """16 levels are read, and not 17; brackets inside strings do not count."""
    assert 16 == MAX_DEPTH
    deep = b'{"x":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert parse_object(deep, "payload")
    assert parse_object(b'{"x":"' + b"[{" * 500 + b'\\""}', "payload")
    # Brackets that are closed count no more.
    beside = b"[" + b"[]," * 100
    assert parse_object(deep.replace(b"[", beside, 1), "payload")
    too_deep = deep.replace(b"[", b"[[", 1)
    for text in (too_deep, too_deep.replace(b"[", beside, 1), b'{"x":' + b"[" * 10_000, b'{"a":' * 10_000):
        assert Code.MALFORMED == refusal(parse_object, text, "payload")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 5000])
def test_json_numbers_are_finite(number: str) -> None:
    """Numbers no other reader would understand the same way are refused."""
    assert Code.MALFORMED == refusal(parse_object, f'{{"exp":{number}}}'.encode(), "payload")

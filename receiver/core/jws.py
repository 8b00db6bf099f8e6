"""A compact JWS taken apart, nothing believed yet (RFC 7515 §3.1, §4, §5.2; RFC 8725 §3).

Rules

* Compact serialisation only: base64url without padding, canonical, three segments.
* Header members have the type their RFC gives them, or the token is refused.
* `crit` and `b64` are refused: a logout token needs no extension (RFC 7515 §4.1.11, RFC 7797 §7).
* `jku`, `x5u`, `jwk`, `x5c` and `x5t` are ignored: they never choose a key and are never fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.strict_json import parse_object
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKEN_BYTES = 16 * 1024
"""Longest token accepted; real ones are under 2 KiB."""

JWS_SEGMENTS = 3
JWE_SEGMENTS = 5

LOGOUT_TYPES = frozenset({"logout+jwt", "application/logout+jwt"})
"""The explicit type of a logout token (BCL §2.4)."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed JWS; its contents are the sender's word and no more.

    Attributes:
        header: The JOSE header.
        claims: The payload.
        signing_input: The bytes that were signed.
        signature: The signature bytes; empty for an unsecured JWS.
        alg: The header's `alg`.
        kid: The header's `kid`; None when absent.
        encrypted: Whether it came inside a JWE.
    """

    header: Mapping[str, object]
    claims: Mapping[str, object]
    signing_input: bytes
    signature: bytes
    alg: str
    kid: str | None
    encrypted: bool = False


def check_shape(token: str) -> int:
    """The token is a compact JWS or JWE of bearable length; nothing is decoded yet.

    Returns:
        Its number of segments: 3 for a JWS, 5 for a JWE.

    Raises:
        LogoutTokenError: `token_too_large` or `malformed`.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise LogoutTokenError(Code.TOKEN_TOO_LARGE, f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    segments = token.count(".") + 1
    if segments not in {JWS_SEGMENTS, JWE_SEGMENTS} or _TOKEN.fullmatch(token) is None:
        raise LogoutTokenError(Code.MALFORMED, "not a compact JWT: expected 3 or 5 base64url segments without padding")
    return segments


def parse_jws(token: str) -> UnverifiedToken:
    """Take a compact JWS apart and check everything that can be checked without a key.

    Raises:
        LogoutTokenError: `token_too_large`, `malformed`, `duplicate_member`, `alg` or `crit`.
    """
    if check_shape(token) != JWS_SEGMENTS:
        raise LogoutTokenError(Code.NOT_SIGNED, "expected a signed token (three segments)")
    header_segment, claims_segment, signature_segment = token.split(".")
    header = parse_object(decode_base64url(header_segment), "header")
    alg = check_header(header)
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise LogoutTokenError(Code.MALFORMED, "header member kid is not a string")
    return UnverifiedToken(
        header=header,
        claims=parse_object(decode_base64url(claims_segment), "payload"),
        signing_input=token[: len(header_segment) + 1 + len(claims_segment)].encode("ascii"),
        signature=decode_base64url(signature_segment),
        alg=alg,
        kid=kid,
    )


def check_header(header: Mapping[str, object]) -> str:
    """The rules every JOSE header must keep; returns `alg` (RFC 7515 §4.1).

    Raises:
        LogoutTokenError: `alg`, `crit`, `typ` or `malformed`.
    """
    # RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported
    # by the recipient, then the JWS is invalid." We understand none, and `b64` must not be used with JWTs.
    if "crit" in header or "b64" in header:
        raise LogoutTokenError(Code.CRIT, "the header asks for an extension (crit or b64); logout tokens need none")
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise LogoutTokenError(Code.ALG, "the header has no alg string")
    for name in ("typ", "cty"):
        if name in header and not isinstance(header[name], str):
            raise LogoutTokenError(Code.MALFORMED, f"header member {name} is not a string")
    return alg


def check_type(header: Mapping[str, object], *, require_typ: bool) -> None:
    """`typ` is a logout token's, or plain `JWT`, or absent (BCL §2.4; RFC 8725 §3.11).

    Args:
        header: The JOSE header.
        require_typ: True accepts only the explicit `logout+jwt`.

    Raises:
        LogoutTokenError: `typ`.
    """
    if "cty" in header:
        raise LogoutTokenError(Code.TYP, "the token wraps another token (cty); send the logout token itself")
    typ = header.get("typ")
    if typ is None:
        if require_typ:
            raise LogoutTokenError(Code.TYP, "no typ header, and this tenant requires logout+jwt (require_typ)")
        return
    lowered = str(typ).lower()
    if lowered not in LOGOUT_TYPES and (require_typ or lowered != "jwt"):
        raise LogoutTokenError(Code.TYP, "the typ header names another kind of token; expected logout+jwt")


def decode_base64url(segment: str) -> bytes:
    """Base64url without padding, and canonical: exactly one text decodes to any given bytes (RFC 7515 §2).

    Raises:
        LogoutTokenError: `malformed`.
    """
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError) as error:
        raise LogoutTokenError(Code.MALFORMED, "a segment is not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment.encode("ascii"):
        raise LogoutTokenError(Code.MALFORMED, "a segment is not canonical base64url (stray trailing bits)")
    return raw

"""A compact JWS taken apart, nothing believed yet (RFC 7515 §3.1, §4, §5.2; RFC 8725 §3).

`jku`, `x5u`, `jwk`, `x5c` and `x5t` are ignored: they never choose a key and are never fetched.
"""

from __future__ import annotations

import binascii
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from receiver.core.tokens.rule import Examination, Rule, enforce
from receiver.core.tokens.strict_json import parse_object
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKEN_BYTES = 16 * 1024
"""Longest token accepted; real ones are under 2 KiB. The form's own limit is `public.max_body_bytes`."""

JWS_SEGMENTS = 3
"""RFC 7515 §7.1."""

JWE_SEGMENTS = 5
"""RFC 7516 §7.1."""

_STANDARD = bytes.maketrans(b"-_+/=", b"+/   ")
"""From the alphabet of RFC 4648 §5 to that of §4, which `binascii` reads; a space is in neither."""

_LAST_CHARACTERS = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
"""The last characters without stray bits, for a text of two or three characters more than whole groups of four."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

KNOWN_HEADERS = 256
"""Headers kept that have passed: an OP sends the same one with every token it signs with one key. Beyond it all are
forgotten, so that a forger with a new one in each token costs no search for the oldest. More only cost memory."""

MAX_KNOWN_HEADER_CHARS = 1024
"""Longest header kept, encoded; a longer one is read each time. With the number above it bounds the memory."""


class UnverifiedToken(NamedTuple):
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
    encrypted: bool


def check_shape(compact: str) -> int:
    """The token is a compact JWS or JWE of bearable length; nothing is decoded yet.

    Returns:
        Its number of segments: 3 for a JWS, 5 for a JWE.

    Raises:
        LogoutTokenError: `token_too_large` or `malformed`.
    """
    # Rule 1.1. All that follows takes time in proportion to the length, and the sender is not known yet.
    if len(compact) > MAX_TOKEN_BYTES:
        raise LogoutTokenError(Code.TOKEN_TOO_LARGE, f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    # RFC 7519 §7.2: a JWT has compact serialisation only. The JSON serialisations may carry several signatures
    # and unprotected headers, so readers may disagree on what was signed (RFC 8725bis §3.14).
    # RFC 7515 §2: base64url has no padding and no line breaks. Python's decoder would pass over foreign characters,
    # so that many texts would be one token.
    segments = compact.count(".") + 1
    rest = compact.encode("ascii", "replace").translate(None, _ALPHABET)
    if segments not in {JWS_SEGMENTS, JWE_SEGMENTS} or rest.strip(b".") or compact[0] == ".":
        raise LogoutTokenError(Code.MALFORMED, "not a compact JWT: expected 3 or 5 base64url segments without padding")
    return segments


def read_header(signed: str) -> Mapping[str, object]:
    """The JOSE header: one JSON object (RFC 7515 §4). It may be shared with other tokens, and is not to be changed.

    Raises:
        LogoutTokenError: `malformed` or `duplicate_member`.
    """
    # Rule 2.1. RFC 7515 §4: the header is one JSON object with unique names.
    return MappingProxyType(parse_object(decode_base64url(signed.partition(".")[0]), "header"))


def check_extensions(header: Mapping[str, object]) -> None:
    """Neither `crit` nor `b64` is there.

    Raises:
        LogoutTokenError: `crit`.
    """
    # Rule 2.2. RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by
    # the recipient, then the JWS is invalid." A logout token needs none, so none is understood. PyJWT before 2.12.0
    # ignored the member (CVE-2026-32597).
    # RFC 7797 §7: `b64: false` must not be used with a JWT; it changes what the signature covers.
    if "crit" in header or "b64" in header:
        raise LogoutTokenError(Code.CRIT, "the header asks for an extension (crit or b64); logout tokens need none")


def check_algorithm_name(header: Mapping[str, object]) -> str:
    """`alg` is there, as a string.

    Raises:
        LogoutTokenError: `alg`.
    """
    # Rule 2.3. RFC 7515 §4.1.1: "This Header Parameter MUST be present and MUST be understood and processed by
    # implementations." Which ones are accepted is the tenant's choice: rule 4.1.
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise LogoutTokenError(Code.ALG, "the header has no alg string")
    return alg


def check_header_types(header: Mapping[str, object]) -> str | None:
    """`typ`, `cty` and `kid` are strings where they are there; returns `kid`.

    Raises:
        LogoutTokenError: `malformed`.
    """
    # Rule 2.4. RFC 7515 §4.1.4, §4.1.9, §4.1.10. A reader that turns 1 or {} into a text would compare something the OP
    # never wrote. A null `kid` is what some serialisers write for none.
    for name in ("typ", "cty"):
        if name in header and not isinstance(header[name], str):
            raise LogoutTokenError(Code.MALFORMED, f"header member {name} is not a string")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise LogoutTokenError(Code.MALFORMED, "header member kid is not a string")
    return kid


def read_claims(signed: str) -> dict[str, object]:
    """The payload: one JSON object (RFC 7519 §7.2).

    Raises:
        LogoutTokenError: `malformed` or `duplicate_member`.
    """
    # Rule 2.5. RFC 7519 §7.2 step 10: the message must be "a UTF-8-encoded representation of a completely valid JSON
    # object". What it says is believed by no rule before 6.4 has verified it.
    return parse_object(decode_base64url(signed.split(".")[1]), "payload")


def read_signature(signed: str) -> tuple[bytes, bytes]:
    """The bytes that were signed, as they were sent, and the signature (RFC 7515 §5.2).

    Raises:
        LogoutTokenError: `malformed`.
    """
    # Rule 2.6. Never encoded anew from what was parsed: the signature is over the sender's own bytes.
    signing_input, _, signature = signed.rpartition(".")
    return signing_input.encode("ascii"), decode_base64url(signature)


def decode_base64url(segment: str) -> bytes:
    """Base64url without padding, and canonical: exactly one text decodes to any given bytes (RFC 7515 §2).

    Raises:
        LogoutTokenError: `malformed`.
    """
    # RFC 7515 appendix C: padding is left out, so it is put back before Python's decoder sees it. A text with one
    # character more than whole groups stands for no bytes, and the decoder refuses it.
    rest = len(segment) % 4
    try:
        raw = binascii.a2b_base64(segment.encode("ascii").translate(_STANDARD) + b"==="[: -rest % 4], strict_mode=True)
    except ValueError as error:
        raise LogoutTokenError(Code.MALFORMED, "a segment is not base64url") from error
    # The last character may hold bits that no byte takes; Python drops them, so that several texts would stand for
    # one signature.
    if rest and segment[-1] not in _LAST_CHARACTERS[rest]:
        raise LogoutTokenError(Code.MALFORMED, "a segment is not canonical base64url (stray trailing bits)")
    return raw


def _shape(e: Examination) -> None:
    e.segments = check_shape(e.compact)


def _header(e: Examination) -> None:
    e.header = read_header(e.signed)


def _algorithm(e: Examination) -> None:
    e.alg = check_algorithm_name(e.header)


def _header_types(e: Examination) -> None:
    e.kid = check_header_types(e.header)


def _claims(e: Examination) -> None:
    e.claims = read_claims(e.signed)


def _signature(e: Examination) -> None:
    e.signing_input, e.signature = read_signature(e.signed)


SHAPE_RULE = Rule(
    "1.1", "shape", "RFC 7515 §7.1", _shape,
    refusals={
        Code.TOKEN_TOO_LARGE: "OP: send a smaller token; a logout needs no profile, group or role claims.",
        Code.MALFORMED: "OP: send a compact JWS: three base64url segments joined by dots, no padding, no spaces.",
    },
)  # fmt: skip

_TWICE = "OP: send every member name once; two readers would see two different tokens."

HEADER_RULES = (
    Rule(
        "2.1", "header", "RFC 7515 §4", _header,
        refusals={
            Code.MALFORMED: "OP: send the header as one JSON object in UTF-8, in canonical base64url.",
            Code.DUPLICATE_MEMBER: _TWICE,
        },
    ),
    Rule(
        "2.2", "crit", "RFC 7515 §4.1.11, RFC 7797 §7", lambda e: check_extensions(e.header),
        shows=("header.crit", "header.b64"),
        refusals={Code.CRIT: "OP: send logout tokens without crit and b64."},
    ),
    Rule(
        "2.3", "alg", "RFC 7515 §4.1.1", _algorithm, shows=("header.alg",),
        refusals={Code.ALG: "OP: name the signature algorithm in alg."},
    ),
    Rule(
        "2.4", "header_types", "RFC 7515 §4.1", _header_types, shows=("header.typ", "header.cty", "header.kid"),
        refusals={Code.MALFORMED: "OP: send typ, cty and kid as strings, or leave them out."},
    ),
)  # fmt: skip
"""The header by itself."""

_passed: dict[str, tuple[Mapping[str, object], str, str | None]] = {}


def _header_at_once(e: Examination) -> None:
    # It is no secret, and the same for every token of one key.
    segment = e.signed.partition(".")[0]
    found = _passed.get(segment)
    if found is not None:
        e.header, e.alg, e.kid = found
        return
    enforce(HEADER_RULES, e)
    if len(segment) <= MAX_KNOWN_HEADER_CHARS:
        if len(_passed) >= KNOWN_HEADERS:
            _passed.clear()
        _passed[segment] = e.header, e.alg, e.kid


HEADER_AT_ONCE = Rule(
    "2.1 to 2.4", "header_at_once", "RFC 7515 §4", _header_at_once,
    refusals={code: advice for rule in HEADER_RULES for code, advice in rule.refusals.items()},
)  # fmt: skip
"""`HEADER_RULES` as one: a header that has passed them passes them again, byte for byte the same, and is not asked."""

RULES = (
    *HEADER_RULES,
    Rule(
        "2.5", "payload", "RFC 7519 §7.2", _claims,
        refusals={
            Code.MALFORMED: "OP: send the payload as one JSON object in UTF-8, in canonical base64url.",
            Code.DUPLICATE_MEMBER: _TWICE,
        },
    ),
    Rule(
        "2.6", "encoding", "RFC 7515 §2", _signature,
        refusals={Code.MALFORMED: "OP: encode each segment as canonical base64url without padding."},
    ),
)  # fmt: skip
"""The signed token by itself, no matter from which OP."""


def unverified(examination: Examination) -> UnverifiedToken:
    """The token rules 2.1 to 2.6 have taken apart."""
    found = examination
    return UnverifiedToken(
        found.header, found.claims, found.signing_input, found.signature, found.alg, found.kid, found.encrypted
    )

"""A second reading of the specification: a list of sentences, each with its own predicate.

Written from the text of BCL and RFC 7515, 7519 and 8725 and sharing no code with the receiver, so that the two
can contradict each other. It collects every sentence a token breaks instead of stopping at the first.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
SKEW, MAX_AGE = 60, 600
DEEPEST, LONGEST_TOKEN, LONGEST_NAME, LAST_DATE = 16, 16384, 512, 253402300799
EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, kw_only=True)
class World:
    """What the relying party has agreed with its OP.

    Attributes:
        issuer: The one issuer.
        clients: Our client ids.
        keys: Key id to the one algorithm it is for, and the public key.
        algorithms: What the clients registered.
        exp: Whether `exp` is required.
        typ: Whether the explicit type is required.
        sid: Whether `sid` is required.
    """

    issuer: str
    clients: tuple[str, ...]
    keys: Mapping[str, tuple[str, Any]]
    algorithms: tuple[str, ...]
    exp: bool = True
    typ: bool = False
    sid: bool = False


class _UnreadableError(Exception):
    """Nothing more can be said about this token."""


def faults(token: str, world: World, now: float) -> list[str]:
    """Every sentence the token breaks; an empty list means it must be accepted."""
    try:
        header, claims, signed, signature = _read(token)
    except _UnreadableError as fault:
        return [str(fault)]
    table = [*_header(header, world), *_claims(claims, world, now)]
    found = [sentence for sentence, holds in table if not holds]
    if not found and not _verified(header, world, signed, signature):
        found.append("the signature is by a key of the OP")
    return found


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    if len(token) > LONGEST_TOKEN:
        raise _UnreadableError("a token is short")
    parts = token.split(".")
    if len(parts) != 3 or not parts[0]:
        raise _UnreadableError("a compact JWS has three parts")
    header, claims, signature = map(_decode, parts)
    return _object(header), _object(claims), ".".join(parts[:2]).encode(), signature


def _decode(part: str) -> bytes:
    if set(part) - set(ALPHABET):
        raise _UnreadableError("a part is base64url")
    bits = "".join(f"{ALPHABET.index(character):06b}" for character in part)
    whole, rest = divmod(len(bits), 8)
    if rest >= 6 or "1" in bits[8 * whole :]:
        raise _UnreadableError("a part is base64url in its one canonical form")
    return int(bits[: 8 * whole] or "0", 2).to_bytes(whole, "big")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written."""


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text.decode(), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise _UnreadableError("a part is JSON") from error
    plain = _plain(read, 1)
    if not isinstance(plain, dict):
        raise _UnreadableError("a part is an object")
    return plain


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, list) and depth > DEEPEST:
        raise _UnreadableError("JSON is shallow")
    if isinstance(value, _Pairs):
        if len({name for name, _ in value}) < len(value):
            raise _UnreadableError("a name occurs once")
        return {name: _plain(member, depth + 1) for name, member in value}
    if isinstance(value, list):
        return [_plain(entry, depth + 1) for entry in value]
    if isinstance(value, float) and value - value != 0:
        raise _UnreadableError("a number is a number")
    return value


def _header(header: dict[str, Any], world: World) -> Iterator[tuple[str, bool]]:
    typ = header.get("typ", "logout+jwt" if not world.typ else None)
    allowed = ["logout+jwt", "application/logout+jwt"] + ([] if world.typ else ["jwt"])
    yield "no extension is asked for", not {"crit", "b64"} & header.keys()
    yield "alg is registered", any(header.get("alg") == alg for alg in world.algorithms)
    yield "typ is a logout token's", isinstance(typ, str) and typ.lower() in allowed
    yield "nothing is nested", "cty" not in header
    yield "kid is a string", header.get("kid") is None or isinstance(header["kid"], str)


def _claims(claims: dict[str, Any], world: World, now: float) -> Iterator[tuple[str, bool]]:
    audience = claims.get("aud")
    audience = audience if isinstance(audience, list) else [audience]
    events = claims.get("events")
    yield "iss is the issuer", claims.get("iss") == world.issuer
    yield "aud is strings", all(isinstance(entry, str) for entry in audience)
    yield "aud names a client", any(entry == client for entry in audience for client in world.clients)
    yield "iat is there", "iat" in claims
    yield "exp is there", "exp" in claims or not world.exp
    for name, low, high in (
        ("iat", now - MAX_AGE - SKEW, now + SKEW),
        ("exp", now - SKEW, LAST_DATE),
        ("nbf", 0, now + SKEW),
    ):
        yield f"{name} is a date", name not in claims or _is_date(claims[name])
        yield f"{name} is in its time", not _is_date(claims.get(name)) or low <= claims[name] <= high
    yield "exp is still to come", not _is_date(claims.get("exp")) or claims["exp"] != now - SKEW
    yield "events is an object with the logout event", isinstance(events, dict) and isinstance(events.get(EVENT), dict)
    yield "there is no nonce", "nonce" not in claims
    yield "jti is a name", _is_name(claims.get("jti"))
    named = [claims[name] for name in ("sub", "sid") if claims.get(name) is not None]
    if claims.get("sub") == "" and claims.get("sid") is not None:
        named = [claims["sid"]]
    yield "somebody is named", bool(named)
    yield "sub and sid are names", all(map(_is_name, named))
    yield "sid is there", claims.get("sid") is not None or not world.sid


def _is_date(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= LAST_DATE


def _is_name(value: Any) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME:
        return False
    return not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in value)


def _verified(header: dict[str, Any], world: World, signed: bytes, signature: bytes) -> bool:
    kid, alg = header.get("kid"), header["alg"]
    fitting = [key for name, (use, key) in world.keys.items() if use == alg and kid in (None, name)]
    return len(fitting) == 1 and _CHECKS[alg](fitting[0], signed, signature)


def _rs256(key: Any, signed: bytes, signature: bytes) -> bool:
    return _holds(lambda: key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256()))


def _es256(key: Any, signed: bytes, signature: bytes) -> bool:
    if len(signature) != 64:
        return False
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    return _holds(lambda: key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256())))


def _eddsa(key: Any, signed: bytes, signature: bytes) -> bool:
    return _holds(lambda: key.verify(signature, signed))


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True


_CHECKS = {"RS256": _rs256, "ES256": _es256, "EdDSA": _eddsa}

"""Plays of what comes in at the public listener, and of keys: form, token, screening, verification.

What is signed, is signed here: no fuzzer finds a signature by itself.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote_from_bytes

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwe
from joserfc.jwk import ECKey

from receiver.core.eviction import Eviction
from receiver.core.signals import security_event
from receiver.core.signals.event_types import EVENT_TYPES
from receiver.core.signals.transmitter import Transmitter
from receiver.core.tenants import TenantDirectory
from receiver.core.tokens import jwks, logout_token
from receiver.core.tokens.jwk import FAMILIES, VerificationKey
from receiver.errors import LogoutTokenError, RequestError
from receiver.ingress.http.body import FORM, BodyLimits, read_body
from receiver.ingress.inputs.backchannel import logout_token_in
from receiver.ingress.inputs.security_events import stream_status
from tests.fuzz import oracle, worlds
from tests.support.clock import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

SEPARATOR = b"\xff"
"""Between header and claims; never part of UTF-8."""

PEM = worlds.EC.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
LAX, STRICT = worlds.lax(), worlds.strict()
TENANTS = TenantDirectory((replace(LAX.tenant, decryption_key=PEM), STRICT.tenant))
KEYS = {op.settings["name"]: jwks.parse_key_set(op.key_set) for op in (LAX, STRICT)}
WORLDS = {op.settings["name"]: op.world for op in (LAX, STRICT)}

WANTED = [uri for uri, event_type in EVENT_TYPES.items() if event_type.ends]

TRANSMITTER = Transmitter(
    tenant=LAX.tenant, issuer=replace(LAX.tenant, require_exp=False), audience=frozenset({"c1", "us/*"}),
    subject_issuers=frozenset({LAX.world.issuer}), evict_on=frozenset(one.rpartition("/")[2] for one in WANTED),
    critical_members=frozenset({"device"}),
)  # fmt: skip

LIMITS = BodyLimits(media_type=FORM, max_bytes=32 * 1024, timeout_s=60.0)


class Request:
    """As much of a request as reading the form needs."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        self.content_length: int | None = None
        self.content = self
        self._body = body

    @staticmethod
    def is_eof() -> bool:
        """It comes after the head."""
        return False

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body in two chunks."""
        half = len(self._body) // 2
        yield self._body[:half]
        yield self._body[half:]


def play_body(body: bytes) -> None:
    """Any body: refused as a form, or a token to be judged."""
    request = cast("web.Request", Request(body, {"Content-Type": FORM}))
    try:
        token = logout_token_in(LOOP.run_until_complete(read_body(request, LIMITS)))
    except RequestError:
        return
    judge(token)


def play_content_type(value: bytes) -> None:
    """Any media type: refused, unless it is the form's."""
    request = Request(b"logout_token=t", {"Content-Type": value.decode("latin-1")})
    try:
        LOOP.run_until_complete(read_body(cast("web.Request", request), LIMITS))
    except RequestError:
        return
    assert value.decode("latin-1").lower().strip().startswith(FORM)


def play_token(text: bytes) -> None:
    """Any text in place of a token, sent as a form."""
    play_body(b"logout_token=" + quote_from_bytes(text).encode())


def play_lax(parts: bytes) -> None:
    """Any header and claims, really signed."""
    _play_signed(LAX, parts)


def play_strict(parts: bytes) -> None:
    """The same for the OP with opposite settings."""
    _play_signed(STRICT, parts)


def _play_signed(op: worlds.OPWorld, parts: bytes) -> None:
    header, _, claims = parts.partition(SEPARATOR)
    judge(op.token(header, claims))


def play_encrypted(parts: bytes) -> None:
    """Any text, really encrypted to our key; and any header in front of what was encrypted."""
    header, _, plaintext = parts.partition(SEPARATOR)
    sealed = jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A128GCM"}, plaintext or b"x", ECKey.import_key(PEM))
    judge(sealed)
    judge(f"{worlds.b64(header)}.{sealed.partition('.')[2]}")


def play_security_event(parts: bytes) -> None:
    """Any header and claims of a security event, really signed: refused, or evictions that can be read."""
    header, _, claims = parts.partition(SEPARATOR)
    try:
        unverified = security_event.parse(LAX.token(header, claims))
        screened = security_event.screen(unverified, TRANSMITTER, NOW)
        event = security_event.verify(screened, KEYS["lax"])
    except LogoutTokenError:
        return
    assert event.happened_at <= event.iat
    stream_status(event.event)
    for eviction in event.to_evictions(TRANSMITTER, NOW, origin="ssf-push"):
        assert Eviction.from_json(eviction.to_json().encode()) == eviction


def play_keys(text: bytes) -> None:
    """Any key document: refused, or only keys fit to verify."""
    try:
        document = json.loads(text)
        key_set = jwks.parse_key_set(document)
    except (ValueError, RecursionError):
        return
    for key in key_set.keys:
        assert is_fit(key), key
    for kid in (None, "", *(key.kid for key in key_set.keys), *(key.kid for key in key_set.unusable)):
        for alg in FAMILIES:
            try:
                assert all(key.fits(alg) for key in jwks.select_keys(key_set, kid, alg))
            except LogoutTokenError:
                continue


def judge(token: str) -> None:
    """Put a token through the whole core; the oracle must say the same."""
    try:
        unverified, tenant = logout_token.parse(token, TENANTS)
        logout_token.screen(unverified, tenant, NOW)
        accepted = logout_token.accept(unverified, tenant, KEYS[tenant.name], NOW)
    except LogoutTokenError:
        assert all(oracle.faults(token, world, NOW) for world in WORLDS.values()), "refused, and breaks no rule"
        return
    if not unverified.encrypted:
        assert oracle.faults(token, WORLDS[tenant.name], NOW) == [], "accepted, against a rule"
    for eviction in accepted.to_evictions(tenant, NOW):
        assert Eviction.from_json(eviction.to_json().encode()) == eviction


def is_fit(key: VerificationKey) -> bool:
    """Whether a key is public, of a known type and strong enough."""
    match key.public_key:
        case rsa.RSAPublicKey() as public:
            return key.kty == "RSA" and key.crv is None and 2048 <= public.key_size <= 8192
        case ec.EllipticCurvePublicKey() as public:
            curves = {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}
            return key.kty == "EC" and curves[str(key.crv)] == public.curve.name
        case ed25519.Ed25519PublicKey():
            return (key.kty, key.crv) == ("OKP", "Ed25519")


LOOP = asyncio.new_event_loop()


def joined(*parts: object) -> bytes:
    """Parts as a play takes them; what is no bytes is written as JSON."""
    return SEPARATOR.join(part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts)


def seeds() -> dict[Callable[[bytes], None], list[bytes]]:
    """For each play good inputs, and the near misses a mutation needs to find the next rule."""
    lax, strict = LAX.claims(), STRICT.claims()
    changes: list[dict[str, Any]] = [
        {},
        {"exp": None},
        {"exp": NOW - 60.5, "nbf": NOW + 60},
        {"iat": NOW - 660},
        {"aud": ["x", "c2"]},
        {"sub": None},
        {"sid": []},
        {"events": {oracle.EVENT: {"a": [{"b": {}}]}, "revoke_offline_access": True}},
        {"events": {oracle.EVENT: True}},
        {"nonce": ""},
        {"jti": "\ud800"},
        {"logout_reason": "user_logout", "typ": "Logout", "tid": "x"},
    ]
    headers: list[dict[str, Any]] = [
        {},
        {"kid": None},
        {"kid": "x"},
        {"typ": "JWT", "x5t": "x", "jku": "https://attacker.example"},
        {"cty": "JWT"},
        {"crit": ["exp"]},
        {"alg": "EdDSA"},
        {"alg": "none"},
    ]
    keys = [*LAX.key_set["keys"], {"kty": "oct", "k": "AA", "kid": "s"}, {"kty": "RSA", "n": "AQ", "e": "AQAB"}]
    nested = b"[" * 17 + b'"' + b'\\"' * 40
    happened: dict[str, Any] = {"event_timestamp": NOW * 1000, "reason_admin": {"en": "r"}}
    subject = {"format": "iss_sub", "iss": LAX.world.issuer, "sub": "u1"}
    aliases = {"format": "aliases", "identifiers": [subject, {"format": "email", "email": "e"}]}
    security = {"iss": LAX.world.issuer, "aud": "us/1", "jti": "j", "iat": NOW, "sub_id": subject}
    more: list[dict[str, Any]] = [
        {},
        {"sub_id": {"format": "opaque", "id": "o"}},
        {"sub_id": {"user": aliases, "session": {"format": "opaque", "id": "s1"}}},
        {"sub_id": {"format": "complex", "user": subject, "device": {"format": "opaque", "id": "d"}}},
        {"toe": 10**400, "events": {WANTED[0]: {"event_timestamp": -1}}},
        {"events": {WANTED[0].replace("session-revoked", "verification"): {"state": "x"}}},
    ]
    return {
        play_security_event: [
            joined({**LAX.header(), "typ": "secevent+jwt"}, {**security, "events": {uri: happened}, **change})
            for uri, change in [*((WANTED[0], change) for change in more), *((uri, {}) for uri in EVENT_TYPES)]
        ],
        play_body: [
            b"a=b&logout_token=" + LAX.valid().encode() + b"&c=%zz",
            b"logout_token=a&logout_token=b",
        ],
        play_content_type: [FORM.encode() + b"; charset=UTF-8"],
        play_token: [LAX.valid().encode(), b"e30.e30."],
        play_lax: [
            *(joined(LAX.header(), {**lax, **change}) for change in changes),
            *(joined({**LAX.header(), **change}, lax) for change in headers),
            joined(nested, lax),
            joined(LAX.header(), nested),
            joined(LAX.header(), json.dumps(lax).encode()[:-1] + b',"iss":"twice"}'),
            joined(LAX.header(), json.dumps(lax).encode()[:-1] + b',"ignored":1e400}'),
        ],
        play_strict: [joined(STRICT.header(), {**strict, **change}) for change in changes],
        play_encrypted: [
            joined({"alg": "ECDH-ES", "enc": "A128GCM", "epk": {}}, LAX.valid().encode()),
            joined({"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF"}, lax),
        ],
        play_keys: [
            joined({"keys": keys}),
            joined({"keys": [{**keys[0], "key_ops": ["verify"], "issuer": "https://{tenantid}"}]}),
        ],
    }

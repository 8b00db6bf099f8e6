"""Two OPs with opposite settings, what they publish, and tokens of theirs to start from."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from receiver.core.tenants import Tenant
from tests.fuzz import oracle
from tests.support.clock import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping

ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EC = ec.derive_private_key(0x1D0C, ec.SECP256R1())
"""The same in every run, so that an input found by a fuzzer can be played again."""


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True, repr=False)
class OPWorld:
    """One OP: the receiver's view of it, the oracle's, and its private keys.

    Attributes:
        settings: The tenant as an operator writes it, but for the addresses.
        world: The oracle's view.
        private: Algorithm to the private key the OP signs with.
    """

    settings: dict[str, Any]
    world: oracle.World
    private: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<the OP {self.settings['name']}>"

    @property
    def tenant(self) -> Tenant:
        """The tenant as the core knows it."""
        sets = {name: frozenset(self.settings[name]) for name in ("client_ids", "algorithms")}
        return Tenant(**{**self.settings, **sets})

    @property
    def key_set(self) -> dict[str, Any]:
        """The JWK Set the OP publishes."""
        return {"keys": [_jwk(kid, alg, key) for kid, (alg, key) in self.world.keys.items()]}

    def claims(self) -> dict[str, Any]:
        """The claims of a valid token."""
        return {
            "iss": self.world.issuer,
            "aud": self.world.clients[0],
            "sub": "u1",
            "sid": "s1",
            "jti": uuid.uuid4().hex,
            "iat": NOW,
            "exp": NOW + 120,
            "events": {oracle.EVENT: {}},
        }

    def header(self) -> dict[str, Any]:
        """The header of a valid token."""
        alg = self.world.algorithms[0]
        return {"alg": alg, "kid": next(k for k, (a, _) in self.world.keys.items() if a == alg), "typ": "logout+jwt"}

    def token(self, header: object, claims: object, alg: str | None = None) -> str:
        """A token over exactly these parts, signed with the OP's key for `alg` (the header's, where it has one)."""
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
        signed = ".".join(map(b64, parts))
        named = header.get("alg") if isinstance(header, dict) else None
        name = alg or (named if isinstance(named, str) and named in self.private else self.world.algorithms[0])
        return f"{signed}.{b64(sign(self.private[name], signed.encode()))}"

    def valid(self) -> str:
        """A valid token."""
        return self.token(self.header(), self.claims())


def sign(key: Any, data: bytes) -> bytes:
    """The JWS signature of the key's own algorithm."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256()))))
    return bytes(key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def _jwk(kid: str, alg: str, key: Any) -> dict[str, Any]:
    families: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    dump = families[alg].to_jwk(key)
    return {**json.loads(dump), "kid": kid, "alg": alg, "use": "sig"}


def _world(name: str, *algorithms: str, private: Mapping[str, Any], **rules: bool) -> OPWorld:
    keys = {f"{alg} of {name}": (alg, key.public_key()) for alg, key in private.items()}
    issuer, clients = f"https://{name}.example", ("c1", "c2")
    return OPWorld(
        settings={
            "name": name,
            "issuer": issuer,
            "client_ids": list(clients),
            "algorithms": list(algorithms),
            # What waits until it is valid is neither accepted nor refused: its tests are in tests/outbox.
            "max_ahead_s": 0,
            **{f"require_{rule}": value for rule, value in rules.items()},
        },
        world=oracle.World(issuer=issuer, clients=clients, keys=keys, algorithms=algorithms, **rules),
        private=private,
    )


def lax(**further: Any) -> OPWorld:
    """An OP that omits `exp`; publishes an EdDSA key for which nobody registered."""
    private = {"ES256": EC, "EdDSA": ED, **further}
    return _world("lax", *(alg for alg in private if alg != "EdDSA"), private=private, exp=False)


def strict() -> OPWorld:
    """An OP held to everything that can be required."""
    return _world("strict", "EdDSA", private={"EdDSA": ED}, typ=True, sid=True)

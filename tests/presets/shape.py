"""What is said of one OP's logout token, in one of its versions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.support.keys import KeyPair, b64, ec_pair, ed25519_pair, rsa_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Scope


Retry = Literal["same token", "same jti", "new token"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One OP's logout token, in one of its versions.

    Attributes:
        name: OP and version.
        preset: The preset an operator chooses for it.
        issuer: As the OP names itself, byte for byte.
        claims: What else is in the payload, given the time of issue.
        typ: Header `typ`; None sends none.
        alg: Header `alg`: what the OP signs with unless told otherwise.
        kid: As the OP forms it.
        header: Further header members.
        client_id: As the OP forms it; `aud` names it.
        scope: Whom the event must be about.
        retry: What the OP sends again after an error; None when it never does.
        settings: What the operator must set beside the preset.
    """

    name: str
    preset: str
    issuer: str
    claims: Callable[[int], dict[str, Any]]
    typ: str | None
    alg: str = "RS256"
    kid: str = "k1"
    header: dict[str, Any] = field(default_factory=dict)
    client_id: str = "c1"
    scope: Scope
    retry: Retry | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> KeyPair:
        """The OP's key of the type its algorithm needs."""
        match self.alg[:2]:
            case "Ed":
                return ed25519_pair("k1")
            case "ES":
                return ec_pair("k1")
            case _:
                return rsa_pair("k1")

    def published(self, **members: Any) -> dict[str, Any]:
        """That key as the OP publishes it."""
        return self.key.published(kid=self.kid, **members)

    def payload(self, now_s: float) -> dict[str, Any]:
        """The claims, issued now."""
        return {"iss": self.issuer, **self.claims(int(now_s))}

    def sign(self, payload: dict[str, Any], **header: Any) -> str:
        """A token with this header and these claims; header members given as None are left out."""
        members = {"alg": self.alg, "kid": self.kid, "typ": self.typ, **self.header, **header}
        kept = {name: value for name, value in members.items() if value is not None}
        signing_input = f"{b64(json.dumps(kept))}.{b64(json.dumps(payload))}"
        return f"{signing_input}.{b64(self.key.sign(self.alg, signing_input.encode()))}"

    def token(self, now_s: float) -> str:
        """The token, issued now."""
        return self.sign(self.payload(now_s))

    def tenant(self, **settings: Any) -> dict[str, Any]:
        """The tenant an operator configures for this OP."""
        return {
            "name": "t1",
            "preset": self.preset,
            "issuer": self.issuer,
            "client_ids": [self.client_id],
            **self.settings,
            **settings,
        }

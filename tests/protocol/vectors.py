"""The machinery of the vector tables: one `Case` is one request an OP, or an attacker, could send.

The baseline every case departs from: issuer t1 with client c1, RS256 registered, 60 s of clock skew, 600 s of
age, `exp` required; keys k1 (RSA 2048) and k2 (P-256) published; a token that is valid in every respect.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.keys import KeyPair, b64, ec_pair, rsa_pair
from tests.support.receiver import FORM, Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.errors import Code
    from tests.support.op import OP

    TokenMaker = Callable[[OP], str]
    Request = dict[str, Any]

BACKCHANNEL = "/backchannel-logout"

OVERSIZE_STATUS = 413
"""What a too large request is answered; a token too large within a small request is 400, like every bad token."""

Function = TypeVar("Function", bound="Callable[..., Any]")

SCENARIOS: dict[str, list[Callable[..., Any]]] = {}
"""Vector name to the test functions that play it outside the tables."""


def vector(*names: str) -> Callable[[Function], Function]:
    """Register a test function as the home of vectors that need more than one request."""

    def register(function: Function) -> Function:
        for name in names:
            SCENARIOS.setdefault(name, []).append(function)
            # `pytest -k` looks at a function's attributes too, so the vector's name finds its scenario.
            setattr(function, name, True)
        return function

    return register


def k1() -> KeyPair:
    """The RSA key that signs the baseline."""
    return rsa_pair("k1")


def k2() -> KeyPair:
    """The P-256 key the OP publishes as well."""
    return ec_pair("k2")


def published(op: OP) -> list[dict[str, Any]]:
    """The baseline's key set."""
    return [op.signing_key.published(), k2().published()]


def form(token: str) -> Request:
    """POST with the one parameter the specification names."""
    return {"data": {"logout_token": token}}


def body(text: str | bytes, content_type: str = FORM) -> Request:
    """POST with exactly this body."""
    return {"data": text, "headers": {"Content-Type": content_type}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row: what differs from the baseline, and what must come of it.

    Attributes:
        name: The vector.
        variant: Tells the cases of one vector apart.
        token: Makes the logout token.
        request: Makes the HTTP request out of the token.
        tenant: Settings of the tenant that differ.
        keys: Makes the published key set.
        status: HTTP status.
        code: Stable code of the refusal; None for a success.
        events: How many events are published.
    """

    name: str
    variant: str = ""
    token: TokenMaker = field(default=lambda op: op.token())
    request: Callable[[str], Request] = form
    tenant: Mapping[str, Any] = field(default_factory=dict)
    keys: Callable[[OP], list[dict[str, Any]]] = published
    status: int
    code: Code | None
    events: int

    def __str__(self) -> str:
        return f"{self.name}-{self.variant}" if self.variant else self.name


def ok(name: str, token: TokenMaker | None = None, **changes: Any) -> Case:
    """A request that is accepted: 200 and one event."""
    return _case(name, token, {"status": 200, "code": None, "events": 1, **changes})


def bad(name: str, code: Code, token: TokenMaker | None = None, **changes: Any) -> Case:
    """A request that is refused: 400 unless said otherwise, and no event."""
    return _case(name, token, {"status": 400, "code": code, "events": 0, **changes})


def _case(name: str, token: TokenMaker | None, fields: dict[str, Any]) -> Case:
    if token is not None:
        fields["token"] = token
    return Case(name=name, **fields)


def changed(**changes: Any) -> TokenMaker:
    """Makes a token with these changes."""
    return lambda op: op.token(**changes)


def signed(header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, *, key: KeyPair, alg: str) -> str:
    """A compact JWS whose header may claim anything; the signature is really `alg` by `key`."""
    return with_signature(header, payload, lambda data: key.sign(alg, data))


def with_signature(
    header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]
) -> str:
    """A compact JWS over exactly these parts, signed by a function."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(b64(part) for part in parts)
    return f"{signing_input}.{b64(sign(signing_input.encode()))}"


def assert_accepted(answer: Answer) -> None:
    """BCL §2.8: 200, nothing else, and not to be stored."""
    assert (200, "") == (answer.status, answer.text)
    assert_not_stored(answer)


def assert_refused(answer: Answer, status: int, code: Code, token: str = "") -> None:
    """The status, the stable code, nothing more in the body, and nothing of the token anywhere."""
    error = "temporarily_unavailable" if status in {429, 503} else "invalid_request"
    assert status == answer.status, answer.text
    # Equality is also the proof that the body echoes neither the token nor a claim.
    assert {"error": error, "error_description": code.value} == json.loads(answer.text)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert all(part not in str(answer.headers) for part in token.split(".") if len(part) > 8)
    assert_not_stored(answer)


def assert_not_stored(answer: Answer) -> None:
    """BCL §2.8: Cache-Control holds the directive `no-store`, as the OIDF suite looks for it."""
    assert "no-store" in [directive.strip() for directive in answer.headers["Cache-Control"].split(",")]

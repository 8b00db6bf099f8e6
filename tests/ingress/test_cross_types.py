"""One kind of token never passes for another: each is sent to every endpoint, and only its own takes it.

Every token is signed by the OP with its published key, in date, for our client, about a user: only its kind is wrong.
A new kind of token is a row of `TOKENS`, a new endpoint one of `ENDPOINTS`; `OWN` says who belongs together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import NOW, Clock
from tests.support.op import LOGOUT_EVENT, OP, encode_token
from tests.support.receiver import Answer, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

    Send = Callable[[Receiver, str], Awaitable[Answer]]

URL = "https://logout.example.com"
REVOCATION = URL + "/global-token-revocation/t1"
COMMANDS = URL + "/commands/t1"
API_TOKEN = "0123456789abcdef-first"
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"

TOKENS: dict[str, tuple[str, dict[str, Any]]] = {
    "logout token": ("logout+jwt", {"sub": "u1", "aud": "c1", "exp": NOW + 120, "events": {LOGOUT_EVENT: {}}}),
    "security event token": (
        "secevent+jwt",
        {"aud": "c1", "sub_id": {"format": "iss_sub", "sub": "u1"}, "events": {SESSION_REVOKED: {}}},
    ),
    "command token": (
        "command+jwt",
        {
            "sub": "u1", "aud": COMMANDS, "client_id": "c1", "exp": NOW + 120, "command": "invalidate", "tenant": "t1",
        },
    ),
    "revocation token": ("global-token-revocation+jwt", {"sub": "c1", "aud": REVOCATION, "exp": NOW + 120}),
    "ID token": ("JWT", {"sub": "u1", "aud": "c1", "exp": NOW + 120, "nonce": "n", "auth_time": NOW - 60}),
    "access token": ("at+jwt", {"sub": "u1", "aud": "c1", "exp": NOW + 120, "client_id": "c1", "scope": "openid"}),
}  # fmt: skip
"""Kind to `typ` and what its claims have beside `iss`, `iat` and `jti`."""


async def back_channel(receiver: Receiver, token: str) -> Answer:
    """As a logout token."""
    return await receiver.post(token)


async def revocation(receiver: Receiver, token: str) -> Answer:
    """As the token of a caller of Global Token Revocation."""
    body = {"sub_id": {"format": "opaque", "id": "u1"}}
    headers = {"Authorization": f"Bearer {token}"}
    return await receiver.send("POST", "/global-token-revocation/t1", json=body, headers=headers)


async def security_events(receiver: Receiver, token: str) -> Answer:
    """As a security event."""
    headers = {"Content-Type": "application/secevent+jwt"}
    return await receiver.send("POST", "/ssf/t1", data=token, headers=headers)


async def commands(receiver: Receiver, token: str) -> Answer:
    """As an OpenID Provider Command."""
    return await receiver.send("POST", "/commands/t1", data={"command_token": token})


async def orders(receiver: Receiver, token: str) -> Answer:
    """As an operator's API token."""
    return await _api(receiver, token, "POST", "/v1/evictions", {"tenant": "t1", "sub": "u1"})


async def registration(receiver: Receiver, token: str) -> Answer:
    """As an app's API token."""
    return await _api(receiver, token, "PUT", "/v1/sessions", {"iss": "i", "client_id": "c1", "sub": "u1"})


async def _api(receiver: Receiver, token: str, method: str, path: str, body: Any) -> Answer:
    headers = {"Authorization": f"Bearer {token}"}
    async with receiver.http.request(method, receiver.internal + path, json=body, headers=headers) as response:
        return Answer(response.status, response.headers, await response.text())


ENDPOINTS: dict[str, tuple[Send, set[int]]] = {
    "back-channel": (back_channel, {400}),
    "revocation": (revocation, {401}),
    "security events": (security_events, {400}),
    "commands": (commands, {400, 401}),
    "orders": (orders, {401}),
    "registration": (registration, {401}),
}
"""Endpoint to how a token is sent there, and how one of another kind is answered."""

OWN = {
    ("logout token", "back-channel"),
    ("revocation token", "revocation"),
    ("security event token", "security events"),
    ("command token", "commands"),
}
"""The tokens that are taken, and where."""


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """A receiver with every way in open."""
    ways = {"frontchannel": {}, "global_revocation": {}, "commands": {"wait_s": 0.05}}
    tenants = [t1(op, ssf={"jwks_uri": op.issuer + "/jwks"}, **ways)]
    internal = {"token": API_TOKEN}
    async with start_receiver(
        redis_server.url, redis_client, clock, tenants, public={"url": URL}, internal=internal
    ) as receiver:
        yield receiver


def token_of(op: OP, kind: str, **changes: Any) -> str:
    """A token of this kind."""
    typ, claims = TOKENS[kind]
    header = {"alg": "RS256", "kid": op.signing_key.kid, "typ": typ, **changes}
    if "sub_id" in claims:
        claims = {**claims, "sub_id": {**claims["sub_id"], "iss": op.issuer}}
    return encode_token(header, {"iss": op.issuer, "iat": NOW, "jti": f"{kind} 1", **claims}, op.signing_key)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("kind", TOKENS)
async def test_only_its_own_endpoint_takes_it(receiver: Receiver, op: OP, kind: str, endpoint: str) -> None:
    """Everywhere else it is refused, and nothing is published."""
    send, refusals = ENDPOINTS[endpoint]

    answer = await send(receiver, token_of(op, kind))

    own = (kind, endpoint) in OWN
    assert own == (answer.status not in refusals)
    assert int(own) == len(await receiver.events())


@pytest.mark.parametrize(
    ("kind", "own", "endpoint"),
    [(kind, own, endpoint) for own, endpoint in sorted(OWN) for kind in TOKENS if kind != own],
)
async def test_with_the_type_that_is_wanted_there(
    receiver: Receiver, op: OP, kind: str, own: str, endpoint: str
) -> None:
    """The claims alone keep it out, should a careless OP give it the type of another kind."""
    send, refusals = ENDPOINTS[endpoint]

    answer = await send(receiver, token_of(op, kind, typ=TOKENS[own][0]))

    assert answer.status in refusals
    assert [] == await receiver.events()

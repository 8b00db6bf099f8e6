"""How sessions end at Keycloak, and what of it reaches an app: one session told, all told, and no token at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.consumer import Sessions
from tests.docs.pages import read
from tests.presets.shapes import SHAPES
from tests.support.clock import NOW, Clock
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.presets.conftest import StartFor
    from tests.support.op import OP

[BEFORE_26_7] = [shape for shape in SHAPES if shape.name == "keycloak: 25"]
"""It sends one token for all sessions of a user, which names one of them."""

TOKEN = "0123456789abcdef-orders"
ENDS = (
    *("Sign out all active sessions", "a user disabled or deleted", "a password reset by an administrator"),
    *("a session that expires", "a refresh token that is revoked"),
)
"""As docs/presets.md names those that Keycloak sends no token for."""


@pytest.fixture
async def sessions(redis_server: EmbeddedRedis) -> AsyncIterator[Sessions]:
    """The app's registry."""
    async with Sessions(redis_server.url) as registry:
        yield registry


async def signed_in(sessions: Sessions, sid: str) -> dict[str, Any]:
    """A session of the token's user, registered."""
    claims = {
        "iss": BEFORE_26_7.issuer, "aud": BEFORE_26_7.client_id, "sub": BEFORE_26_7.payload(NOW)["sub"], "sid": sid,
        "auth_time": NOW - 60,
    }  # fmt: skip
    await sessions.register(claims)
    return claims


@pytest.mark.parametrize(("settings", "all_end"), [({}, False), ({"both_claims": "user"}, True)])
async def test_sign_out_all_sessions_before_26_7(
    start_for: StartFor, sessions: Sessions, settings: dict[str, str], *, all_end: bool
) -> None:
    """Its one token ends the session it names, or with `both_claims: user` every session of the user."""
    receiver = await start_for(BEFORE_26_7, **settings)
    named = await signed_in(sessions, BEFORE_26_7.payload(NOW)["sid"])
    other = await signed_in(sessions, "another")
    assert 200 == (await receiver.post(BEFORE_26_7.token(NOW))).status
    assert (True, all_end) == (await sessions.is_signed_out(named), await sessions.is_signed_out(other))


async def test_what_keycloak_sends_no_token_for(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, sessions: Sessions
) -> None:
    """An order, for instance by a listener at Keycloak, ends every session of the user; the page names the ends."""
    tenant = BEFORE_26_7.tenant(jwks_uri=op.issuer + "/jwks")
    internal = {"token": TOKEN}
    async with start_receiver(redis_server.url, redis_client, clock, [tenant], internal=internal) as receiver:
        both = [await signed_in(sessions, sid) for sid in ("one", "two")]
        order = {"tenant": "t1", "sub": both[0]["sub"]}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = receiver.internal + "/v1/evictions"
        async with receiver.http.post(url, json=order, headers=headers) as answer:
            assert 202 == answer.status
        assert [True, True] == [await sessions.is_signed_out(claims) for claims in both]
    page = " ".join(read("presets.md").replace("*", "").split())
    assert [] == [end for end in ENDS if end not in page]

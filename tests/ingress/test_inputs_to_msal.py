"""Every way in empties a real MSAL cache: from what its sender sends to an account MSAL no longer has."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import msal
import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.consumer import Subscriber
from receiver.consumer.msal_cache import forget_account
from receiver.core.sign_in import SignIn
from tests.support.clock import NOW, Clock
from tests.support.op import OP, encode_token
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction

    Send = Callable[[Receiver, OP], Awaitable[int]]

URL = "https://logout.example.com"
API_TOKEN = "0123456789abcdef-first"
DEADLINE_S = 60.0
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"


async def logout_token(receiver: Receiver, op: OP) -> int:
    """An OP's logout token."""
    return (await receiver.post(op.token(sub="u1"))).status


async def front_channel(receiver: Receiver, op: OP) -> int:
    """A browser, with a session that is known."""
    del op
    return (await receiver.send("GET", "/frontchannel-logout/t1", params={"sid": "s1"})).status


async def global_revocation(receiver: Receiver, op: OP) -> int:
    """An OP's call that names the user."""
    claims = {
        "iss": op.issuer, "sub": "c1", "aud": URL + "/global-token-revocation/t1", "exp": NOW + 300, "jti": "r1",
    }  # fmt: skip
    header = {"alg": "RS256", "kid": op.signing_key.kid, "typ": "global-token-revocation+jwt"}
    headers = {"Authorization": f"Bearer {encode_token(header, claims, op.signing_key)}"}
    body = {"sub_id": {"format": "iss_sub", "iss": op.issuer, "sub": "u1"}}
    return (await receiver.send("POST", "/global-token-revocation/t1", json=body, headers=headers)).status


async def security_event(receiver: Receiver, op: OP) -> int:
    """A transmitter's push."""
    claims = {
        "iss": op.issuer, "aud": "c1", "iat": NOW, "jti": "e1", "events": {SESSION_REVOKED: {}},
        "sub_id": {"format": "iss_sub", "iss": op.issuer, "sub": "u1"},
    }  # fmt: skip
    header = {"alg": "RS256", "kid": op.signing_key.kid, "typ": "secevent+jwt"}
    compact = encode_token(header, claims, op.signing_key)
    return (
        await receiver.send("POST", "/ssf/t1", data=compact, headers={"Content-Type": "application/secevent+jwt"})
    ).status


async def command(receiver: Receiver, op: OP) -> int:
    """An OP's order, which is answered when it is done."""
    claims = {
        "iss": op.issuer, "aud": URL + "/commands/t1", "client_id": "c1", "iat": NOW, "exp": NOW + 120, "jti": "c1",
        "command": "invalidate", "tenant": "acme", "sub": "u1",
    }  # fmt: skip
    header = {"alg": "RS256", "kid": op.signing_key.kid, "typ": "command+jwt"}
    form = {"command_token": encode_token(header, claims, op.signing_key)}
    return (await receiver.send("POST", "/commands/t1", data=form)).status


async def operator(receiver: Receiver, op: OP) -> int:
    """An order for the account."""
    del op
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    body = {"tenant": "t1", "home_account_id": "uid.utid", "reason": "test"}
    async with receiver.http.post(receiver.internal + "/v1/evictions", json=body, headers=headers) as response:
        return response.status


def filled_cache(uid: str = "uid", utid: str = "utid") -> msal.SerializableTokenCache:
    """MSAL's cache with the account `<uid>.<utid>`."""
    cache = msal.SerializableTokenCache()
    client_info, id_token = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in (
            {"uid": uid, "utid": utid},
            # MSAL compares `exp` with the real clock.
            {"sub": "u1", "oid": uid, "tid": utid, "aud": "c1", "exp": 4_000_000_000},
        )
    )
    cache.add({
        "client_id": "c1", "scope": ["s"], "token_endpoint": "https://login.microsoftonline.com/utid/oauth2/v2.0/token",
        "response": {
            "access_token": "at", "refresh_token": "rt", "expires_in": 3600, "token_type": "Bearer",
            "client_info": client_info, "id_token": f"e30.{id_token}.x",
        },
    })  # fmt: skip
    return cache


def tokens_in(cache: msal.SerializableTokenCache) -> int:
    """How many tokens MSAL would use."""
    kinds = msal.TokenCache.CredentialType
    return sum(len(list(cache.search(kind))) for kind in (kinds.ACCESS_TOKEN, kinds.REFRESH_TOKEN))


@pytest.mark.parametrize("send", [logout_token, front_channel, global_revocation, security_event, command, operator])
async def test_cache_is_emptied(  # noqa: PLR0917  # fixtures and a table
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, send: Send,
    record_property: Any,
) -> None:  # fmt: skip
    """An app with a registered sign-in, as at Entra with an account that is not the subject, lets go; timed."""
    cache, emptied = filled_cache(), asyncio.Event()

    def handle(eviction: Eviction) -> None:
        for account in eviction.accounts:
            forget_account(cache, account, logout_at=eviction.logout_at)
        emptied.set()

    ways: dict[str, Any] = {"frontchannel": {}, "global_revocation": {}, "commands": {}}
    tenants = [t1(op, account_from_sub=False, ssf={"jwks_uri": op.issuer + "/jwks"}, **ways)]
    sections: dict[str, Any] = {"public": {"url": URL}, "internal": {"token": API_TOKEN}}
    async with (
        start_receiver(redis_server.url, redis_client, clock, tenants, **sections) as receiver,
        Subscriber(redis_server.url, handle, app="shop"),
    ):
        sign_in = SignIn(
            iss=op.issuer, client_ids=("c1",), sub="u1", sid="s1", auth_time=NOW - 60, home_account_id="uid.utid"
        )
        await SignIns(lambda: redis_client, KeyNames(), clock=clock).register(sign_in, lifetime_s=600)
        before = tokens_in(cache)
        began = time.monotonic()
        sent = asyncio.ensure_future(send(receiver, op))
        async with asyncio.timeout(DEADLINE_S):
            await emptied.wait()
        record_property("milliseconds", round((time.monotonic() - began) * 1000))
        status = await sent

    assert status in {200, 202, 204}
    assert (2, 0) == (before, tokens_in(cache))

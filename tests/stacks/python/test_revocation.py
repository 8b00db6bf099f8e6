"""RFC 7009 through the evictor: MSAL Python's refresh token leaves the cache and is revoked at the OP it came from."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msal
import requests

from receiver.evictor.worker import working
from receiver.ops.settings import Settings
from tests.stacks.op import StackOP
from tests.support.clock import Clock
from tests.support.evictor import first_reading
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

KEY = "revocation:all"


def sign_in(op: StackOP, user: str, cache: msal.SerializableTokenCache) -> str:
    """Sign in with the real library; the refresh token."""
    http = requests.Session()
    http.trust_env = False
    http.verify = str(op.ca_file)
    app = msal.ConfidentialClientApplication(
        "portal", client_credential="secret", oidc_authority=op.authority, token_cache=cache, http_client=http
    )
    flow = app.initiate_auth_code_flow([], redirect_uri="https://portal.example/", response_mode="form_post")
    answer = app.acquire_token_by_auth_code_flow(
        flow, dict(parse_qsl(urlsplit(op.answer(flow["auth_uri"], user)).query))
    )
    http.close()
    assert "refresh_token" in answer, answer
    return str(answer["refresh_token"])


async def test_what_left_the_cache_is_revoked(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """Alice's refresh token is revoked with the client's credentials; Bob's stays good."""
    with StackOP(tmp_path) as op:
        op.revocation_endpoint = True
        cache = msal.SerializableTokenCache()
        alices, bobs = [await asyncio.to_thread(sign_in, op, user, cache) for user in ("alice", "bob")]
        await redis_client.set(KEY, cache.serialize())
        tenant: dict[str, Any] = {"name": "main", "issuer": op.issuer, "client_ids": ["portal"]}
        revoking = {**tenant, "revocation": {"clients": {"portal": {"secret": "a-client-secret"}}}}
        settings = Settings(
            internal={"port": 0}, redis={"url": redis_server.url}, outbound={"ca_file": op.ca_file},
            tenants=[revoking], caches=[{"name": "all", "layout": "msal-python", "key": KEY}],
        )  # fmt: skip
        async with (
            start_receiver(
                redis_server.url, redis_client, Clock(time.time()), [tenant], outbound={"ca_file": op.ca_file}
            ) as receiver,
            working(settings) as worker,
        ):
            await first_reading(worker)
            answer = await receiver.post(op.logout_token(client_id="portal", user="alice"))
            assert answer.status == 200
            metric = worker.metrics.registry.get_sample_value
            async with asyncio.timeout(10):
                # Counted once the OP's answer is there, which is after the OP has done it.
                while not metric("logout_revocations_total", {"tenant": "main", "outcome": "ok"}):
                    await asyncio.sleep(0.02)

            assert [alices] == op.revoked
            assert bobs in op.refresh_tokens
            kept: Any = await redis_client.get(KEY)
            left = kept.decode()
            assert alices not in left
            assert bobs in left
            assert 1 == metric("logout_revocations_total", {"tenant": "main", "outcome": "ok"})

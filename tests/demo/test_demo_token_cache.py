"""The shared MSAL cache in Redis: requests that overlap, and a sign-out in between."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from demo import token_cache
from demo.token_cache import RedisTokenCache
from receiver.consumer.msal_cache import forget_account_in_redis

if TYPE_CHECKING:
    import redis


def token_response(sub: str, client_id: str, *, at: str = "first") -> dict[str, Any]:
    """What MSAL hands to its cache after a token response."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": sub, "preferred_username": sub}).encode()).decode()
    return {
        "client_id": client_id,
        "scope": ["orders.read"],
        "token_endpoint": "https://localhost/demo/token",
        "grant_type": "authorization_code",
        "response": {
            "access_token": at,
            "refresh_token": "r",
            "id_token": f"h.{claims}.s",
            "expires_in": 3600,
        },
    }


def sign_in(client: redis.Redis, sub: str, client_id: str) -> None:
    """One request that ends in new tokens."""
    cache = RedisTokenCache(client)
    cache.add(token_response(sub, client_id))
    cache.save()


def test_overlapping_requests_keep_both_sign_ins(client: redis.Redis) -> None:
    """Two requests that loaded the same cache and save one after the other lose nothing of each other."""
    portal, orders = RedisTokenCache(client), RedisTokenCache(client)
    portal.add(token_response("alice", "portal"))
    orders.add(token_response("bob", "orders"))

    portal.save()
    orders.save()

    held = token_cache.holdings(client)
    assert held["alice", "portal", "RefreshToken"] == held["bob", "orders", "RefreshToken"] == 1


def test_refresh_in_flight_does_not_bring_an_evicted_account_back(client: redis.Redis) -> None:
    """A request that loaded the cache before the eviction saves other users' changes only."""
    sign_in(client, "alice", "portal")
    sign_in(client, "bob", "portal")
    in_flight = RedisTokenCache(client)
    in_flight.add(token_response("alice", "portal", at="refreshed"))
    in_flight.add(token_response("bob", "portal", at="refreshed"))

    forget_account_in_redis(client, token_cache.KEY, "alice")
    in_flight.save()

    assert token_cache.accounts_held(client) == {"bob"}
    assert b"refreshed" in (client.get(token_cache.KEY) or b"")


def test_sign_in_after_the_eviction_is_kept(client: redis.Redis) -> None:
    """An account that was evicted may sign in again."""
    sign_in(client, "alice", "portal")
    forget_account_in_redis(client, token_cache.KEY, "alice")

    sign_in(client, "alice", "portal")

    assert token_cache.accounts_held(client) == {"alice"}


def test_reading_does_not_write(client: redis.Redis) -> None:
    """A request that changed nothing leaves the value and its lifetime alone."""
    sign_in(client, "alice", "portal")
    client.expire(token_cache.KEY, 100)

    RedisTokenCache(client).save()

    assert client.ttl(token_cache.KEY) == 100


def test_holdings_show_leftovers(client: redis.Redis) -> None:
    """Tokens whose account entry is gone are still counted, so that a half-done eviction shows."""
    sign_in(client, "alice", "portal")
    blob = json.loads(client.get(token_cache.KEY) or b"")
    blob["Account"] = {}
    client.set(token_cache.KEY, json.dumps(blob))

    held = token_cache.holdings(client)

    assert held["alice", "portal", "RefreshToken"] == 1

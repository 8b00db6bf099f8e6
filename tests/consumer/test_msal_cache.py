"""Forgetting one account in caches that MSAL Python itself wrote."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import msal
import pytest
import redis

from receiver.consumer.msal_cache import forget_account, forget_account_in_redis
from tests.support.keys import b64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.link.embedded import EmbeddedRedis

KINDS = ("AccessToken", "RefreshToken", "IdToken", "Account")


def sign_in(cache: msal.SerializableTokenCache, user: str, client_id: str, auth_time: int = 100) -> None:
    """What MSAL stores after a successful code redemption at an OP that sends no client_info."""
    claims = {
        "iss": "https://op.example/t1", "sub": user, "aud": client_id, "auth_time": auth_time, "exp": time.time() + 300
    }  # fmt: skip
    cache.add(
        {
            "client_id": client_id,
            "scope": ["openid", "api"],
            "token_endpoint": "https://op.example/t1/token",
            "response": {
                "access_token": f"at-{user}-{client_id}",
                "refresh_token": f"rt-{user}-{client_id}",
                "id_token": f"{b64('{}')}.{b64(json.dumps(claims))}.{b64('s')}",
                "expires_in": 3600,
                "token_type": "Bearer",
            },
        }
    )


@pytest.fixture
def cache() -> msal.SerializableTokenCache:
    """Alice and Bob, each signed in to both apps."""
    shared = msal.SerializableTokenCache()
    for user in ("alice", "bob"):
        for client_id in ("portal", "orders"):
            sign_in(shared, user, client_id)
    return shared


def holders(serialised: str | bytes) -> dict[str, set[tuple[str, str]]]:
    """Per kind, whose entries for which client are left."""
    blob = json.loads(serialised)
    return {
        kind: {(entry["home_account_id"], entry.get("client_id", "")) for entry in blob.get(kind, {}).values()}
        for kind in KINDS
    }


def only(user: str) -> dict[str, set[tuple[str, str]]]:
    """`holders` of a cache that holds one user, signed in to both apps."""
    both = {(user, "portal"), (user, "orders")}
    return {"AccessToken": both, "RefreshToken": both, "IdToken": both, "Account": {(user, "")}}


def test_forgets_every_client_and_nobody_else(cache: msal.SerializableTokenCache) -> None:
    """All of one account's entries go, for both clients; the other account keeps every one."""
    cache.has_state_changed = False

    assert 7 == forget_account(cache, "alice")

    assert cache.has_state_changed
    assert only("bob") == holders(cache.serialize())


def test_msal_finds_no_token_afterwards(cache: msal.SerializableTokenCache) -> None:
    """MSAL's own search finds the other user's tokens and none of the forgotten one's."""
    forget_account(cache, "alice")

    found = {
        user: len(list(cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN, query={"home_account_id": user})))
        for user in ("alice", "bob")
    }
    assert {"alice": 0, "bob": 2} == found


def test_unknown_account_changes_nothing(cache: msal.SerializableTokenCache) -> None:
    """Forgetting somebody who is not there is no change, so nothing is written back."""
    cache.has_state_changed = False

    assert 0 == forget_account(cache, "carol")
    assert not cache.has_state_changed


def test_later_login_lives(cache: msal.SerializableTokenCache) -> None:
    """A client whose user authenticated after the logout keeps its tokens; the other client's go."""
    sign_in(cache, "alice", "orders", auth_time=300)

    assert 3 == forget_account(cache, "alice", logout_at=200)

    left = holders(cache.serialize())
    assert {("alice", "orders"), ("bob", "portal"), ("bob", "orders")} == left["RefreshToken"]
    assert ("alice", "") in left["Account"]


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A plain client, as a web app has one; the database is empty."""
    connection = redis.Redis.from_url(redis_server.url)
    connection.flushall()
    yield connection
    connection.close()


def test_shared_blob_in_redis(cache: msal.SerializableTokenCache, client: redis.Redis) -> None:
    """In Redis the same, and the blob keeps its lifetime."""
    client.set("cache", cache.serialize(), ex=500)

    assert 7 == forget_account_in_redis(client, "cache", "alice")

    assert only("bob") == holders(client.get("cache"))  # type: ignore[arg-type]
    assert 490 < client.ttl("cache") <= 500


def test_concurrent_writer_is_not_overwritten(cache: msal.SerializableTokenCache, client: redis.Redis) -> None:
    """A sign-in written between our read and our write survives: the swap is compared and tried again."""
    client.set("cache", cache.serialize())
    sign_in(cache, "carol", "portal")

    class Racing:
        """The first read is followed at once by another app's write."""

        raced = False

        def get(self, key: str) -> object:
            value = client.get(key)
            if not self.raced:
                self.raced = True
                client.set(key, cache.serialize())
            return value

        def __getattr__(self, name: str) -> object:
            return getattr(client, name)

    assert 7 == forget_account_in_redis(Racing(), "cache", "alice")  # type: ignore[arg-type]

    left = holders(client.get("cache"))  # type: ignore[arg-type]
    assert {"bob", "carol"} == {user for user, _ in left["RefreshToken"]}


def test_missing_key_is_nothing_to_do(client: redis.Redis) -> None:
    """No blob means nobody to forget."""
    assert 0 == forget_account_in_redis(client, "cache", "alice")


def test_foreign_value_is_left_alone(client: redis.Redis) -> None:
    """A value that is no plain MSAL cache raises and stays byte for byte."""
    client.set("cache", b"\x09\xf0\xc9\xf0 encrypted")

    with pytest.raises(ValueError, match="not_json"):
        forget_account_in_redis(client, "cache", "alice")
    assert client.get("cache") == b"\x09\xf0\xc9\xf0 encrypted"

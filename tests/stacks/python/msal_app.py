"""An app on MSAL Python as its documentation has it: load the cache, use a client object, save the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msal

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests
    from cryptography.fernet import Fernet

    from tests.stacks.op import StackOP
    from tests.stacks.python.world import World

SCOPES = ["orders.read"]
APP_SCOPES = ["orders/.default"]


class MsalApp:
    """Tokens in Redis, in the value that `key` names for an account.

    Args:
        world: Whose Redis.
        op: The OP.
        key: The key for a `home_account_id`.
        client_id: This app.
        fernet: Encrypts the values.
    """

    def __init__(
        self,
        world: World,
        op: StackOP,
        key: Callable[[str], str],
        client_id: str = "portal",
        *,
        fernet: Fernet | None = None,
    ) -> None:
        self._redis = world.redis
        self._http: requests.Session = world.http
        self._op = op
        self._key = key
        self._client_id = client_id
        self._fernet = fernet
        self._sign_ins: dict[str, dict[str, Any]] = {}

    def sign_in(self, user: str) -> dict[str, Any]:
        """Redeem a code, and keep what MSAL cached; returns the ID token's claims."""
        key = self._key(self._op.account(user))
        cache = self._load(key)
        client = self._client(cache)
        flow = client.initiate_auth_code_flow(SCOPES, redirect_uri="https://portal.example/", response_mode="form_post")
        answer = dict(parse_qsl(urlsplit(self._op.answer(flow["auth_uri"], user)).query))
        result = client.acquire_token_by_auth_code_flow(flow, answer)
        assert "access_token" in result, result
        self._save(cache, key)
        account = self._op.account(user)
        self._sign_ins[user] = next(known for known in client.get_accounts() if known["home_account_id"] == account)
        claims: dict[str, Any] = result["id_token_claims"]
        return claims

    def has_token(self, user: str, *, remembered: bool = False, refresh: bool = False) -> bool:
        """Whether the silent call answers; `remembered` asks with the account object kept since the sign-in."""
        key = self._key(self._op.account(user))
        cache = self._load(key)
        client = self._client(cache)
        account = self._op.account(user)
        accounts = [known for known in client.get_accounts() if known["home_account_id"] == account]
        accounts = [self._sign_ins[user]] if remembered else accounts
        result = client.acquire_token_silent(SCOPES, accounts[0], force_refresh=refresh) if accounts else None
        self._save(cache, key)
        return "access_token" in (result or {})

    def app_token_source(self, user: str) -> str:
        """Where the app's own token came from: `cache` or `identity_provider`."""
        key = self._key(self._op.account(user))
        cache = self._load(key)
        result = self._client(cache).acquire_token_for_client(APP_SCOPES)
        self._save(cache, key)
        return str(result["token_source"])

    def _load(self, key: str) -> msal.SerializableTokenCache:
        cache = msal.SerializableTokenCache()
        value = self._redis.get(key)
        cache.deserialize(self._fernet.decrypt(value) if value and self._fernet else value)
        return cache

    def _save(self, cache: msal.SerializableTokenCache, key: str) -> None:
        if cache.has_state_changed:
            value = cache.serialize().encode()
            self._redis.set(key, self._fernet.encrypt(value) if self._fernet else value, ex=3600)

    def _client(self, cache: msal.SerializableTokenCache) -> Any:
        return msal.ConfidentialClientApplication(
            self._client_id,
            client_credential="secret",
            oidc_authority=self._op.issuer,
            token_cache=cache,
            http_client=self._http,
        )

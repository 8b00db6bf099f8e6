"""The sample web app, one process for each of "portal" and "orders": Flask, MSAL Python, tokens in Redis.

It is written the way MSAL's documentation has it: for each request one client object and the cache loaded
from Redis; a silent token call before each call of an API. What its team adds for a global sign-out is
marked in `main`. Its sign-out link leads to the OP and does nothing here: the logout token does the rest.
"""

from __future__ import annotations

import functools
import logging
import secrets
from typing import TYPE_CHECKING, Any

import flask
import msal
import redis
import requests
from werkzeug.serving import make_server

from demo import timeline, token_cache
from demo.pages import render
from demo.settings import AppSettings
from demo.timeline import Happened
from demo.token_cache import RedisTokenCache
from receiver.consumer import Eviction, ThreadSubscriber
from receiver.consumer.msal_cache import forget_account_in_redis

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

SCOPES = ["orders.read"]
"""The API the apps call for their users; in this demo the OP's userinfo stands for it."""

TIMEOUT_S = 5.0


class WebApp:
    """The app's requests. Its Flask session holds which MSAL account the browser is and the OP's `sid`, no token."""

    def __init__(self, settings: AppSettings, client: redis.Redis) -> None:
        self._settings = settings
        self._redis = client
        self._home = f"http://localhost:{settings.port}"
        self._ended_sids: set[str] = set()

    @functools.cached_property
    def _metadata(self) -> dict[str, Any]:
        response = requests.get(
            f"{self._settings.issuer}/.well-known/openid-configuration",
            verify=self._settings.ca_file,
            timeout=TIMEOUT_S,
        )
        response.raise_for_status()
        metadata: dict[str, Any] = response.json()
        return metadata

    def flask_app(self) -> flask.Flask:
        """The routes."""
        app = flask.Flask(__name__)
        # Browsers keep one cookie jar for all ports of a host, so the apps must not share a cookie name.
        app.config.update(
            SECRET_KEY=secrets.token_bytes(32),
            SESSION_COOKIE_NAME=f"demo_{self._settings.name}_session",
            SESSION_COOKIE_SAMESITE="Lax",
        )
        app.add_url_rule("/", view_func=self.index)
        app.add_url_rule("/sign-in", view_func=self.sign_in)
        app.add_url_rule("/callback", view_func=self.callback)
        app.add_url_rule("/status.json", view_func=self.status)
        app.add_url_rule("/healthz", view_func=lambda: "ok", endpoint="healthz")
        return app

    def sign_in(self) -> Response:
        """Send the browser to the OP."""
        flow = self._msal(RedisTokenCache(self._redis)).initiate_auth_code_flow(SCOPES, f"{self._home}/callback")
        flask.session["flow"] = flow
        return flask.redirect(flow["auth_uri"])

    def callback(self) -> Response | tuple[str, int]:
        """Redeem the code; MSAL puts the tokens into the cache."""
        cache = RedisTokenCache(self._redis)
        client = self._msal(cache)
        flow = flask.session.pop("flow", {})
        try:
            result = client.acquire_token_by_auth_code_flow(flow, flask.request.args.to_dict())
        except ValueError:  # MSAL's answer to a state that is not this browser's
            return flask.redirect("/")
        if "error" in result:
            return f"Sign-in failed: {result.get('error_description', result['error'])}", 400
        cache.save()
        # This OP sends no client_info, so MSAL's home_account_id is the sub.
        sub, sid = result["id_token_claims"]["sub"], result["id_token_claims"]["sid"]
        account = next(known for known in client.get_accounts() if known["home_account_id"] == sub)
        flask.session["account"] = {name: account[name] for name in ("home_account_id", "environment", "username")}
        flask.session["sid"] = sid
        who = {"username": account["username"], "account": sub}
        self._report(Happened.APP_SIGNED_IN, **who)
        self._report(Happened.TOKENS_CACHED, **who, kinds=self._kinds_held(account["username"]))
        return flask.redirect("/")

    def index(self) -> str:
        """Who is signed in, and what the app can do as them."""
        return render(
            "app",
            name=self._settings.name,
            links=self._settings.links,
            sign_out=self._metadata["end_session_endpoint"],
            status=self._status(),
        )

    def status(self) -> dict[str, Any]:
        """The same for programs."""
        return self._status()

    def _status(self) -> dict[str, Any]:
        account: dict[str, str] | None = flask.session.get("account")
        status: dict[str, Any] = {
            "app": self._settings.name,
            "signed_in_as": None,
            "signed_out": None,
            "silent_call": None,
            "userinfo": None,
        }
        if account is None:
            return status
        cache = RedisTokenCache(self._redis)
        client = self._msal(cache)
        # Asked with the remembered account, not with one looked up, as many apps do: this call would still
        # answer if only the account's entry had been removed and its tokens left.
        result = client.acquire_token_silent(SCOPES, account=account)
        cache.save()
        token = (result or {}).get("access_token")
        status["silent_call"] = "token" if token else "nothing"
        status["userinfo"] = self._userinfo(token) if token else None
        held = any(known["home_account_id"] == account["home_account_id"] for known in client.get_accounts())
        # The account may be back already, signed in anew: that revives no browser of the session that ended.
        if held and flask.session["sid"] not in self._ended_sids:
            status["signed_in_as"] = account["username"]
        else:
            flask.session.clear()
            status["signed_out"] = account["username"]
            self._report(Happened.APP_DROPPED_SESSION, username=account["username"], account=account["home_account_id"])
        return status

    def _userinfo(self, access_token: str) -> dict[str, str] | None:
        response = requests.get(
            self._metadata["userinfo_endpoint"],
            headers={"Authorization": f"Bearer {access_token}"},
            verify=self._settings.ca_file,
            timeout=TIMEOUT_S,
        )
        return response.json() if response.ok else None

    def _kinds_held(self, username: str) -> list[str]:
        held = token_cache.holdings(self._redis)
        return sorted(kind for name, client_id, kind in held if (name, client_id) == (username, self._settings.name))

    def _msal(self, cache: RedisTokenCache) -> Any:
        return msal.ConfidentialClientApplication(
            self._settings.name,
            client_credential=self._settings.client_secret,
            oidc_authority=self._settings.issuer,
            verify=self._settings.ca_file,
            token_cache=cache,
        )

    def forget(self, eviction: Eviction) -> None:
        """Drop what the shared cache holds of these accounts; a client that signed in later keeps its tokens."""
        if eviction.sid is not None:
            self._ended_sids.add(eviction.sid)
        for account in eviction.accounts:
            removed = forget_account_in_redis(self._redis, token_cache.KEY, account, logout_at=eviction.logout_at)
            self._report(Happened.APP_FORGOT, account=account, eviction_id=eviction.id, removed=removed)

    def forget_everyone(self) -> None:
        """Drop the whole cache, because evictions were missed: everybody signs in again."""
        self._redis.delete(token_cache.KEY)

    def _report(self, kind: Happened, **data: object) -> None:
        timeline.report(self._redis, kind, app=self._settings.name, **data)


def main() -> None:
    """Serve until ended."""
    settings = AppSettings.from_command_line()
    app = WebApp(settings, redis.Redis.from_url(settings.redis_url))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the timeline tells of requests, the log of errors
    server = make_server("127.0.0.1", settings.port, app.flask_app(), threaded=True)
    if settings.subscribe:
        # What the app's team adds for a global sign-out: this one line, and `forget` above.
        ThreadSubscriber(settings.redis_url, app.forget, app=settings.name, on_reset=app.forget_everyone).start()
    server.serve_forever()


if __name__ == "__main__":
    main()

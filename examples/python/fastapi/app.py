"""A FastAPI app on MSAL Python: the session is a signed cookie, the tokens are in Redis, one value per account.

It reads its settings from the environment; README.md has the list. MSAL blocks, so the pages are plain functions:
FastAPI runs them in threads.
"""

from __future__ import annotations

import os
from typing import Any

import msal
import redis
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware
from token_cache import TokenCache

from receiver.consumer.asgi import SignOut

APP_URL = os.environ.get("APP_URL", "http://localhost:5003")
SCOPES = ["orders.read"]

CLAIMS = ("iss", "aud", "sub", "sid", "auth_time", "iat", "name")
"""What the session keeps of the ID token; the whole of it may not fit into a cookie."""

store = redis.Redis.from_url(os.environ["REDIS_URL"])
prefix = os.environ.get("CACHE_PREFIX", "portal-fastapi:")

app = FastAPI()
# Without the variable the app is what it was before: then the evictor alone takes its tokens away.
if events := os.environ.get("LOGOUT_RECEIVER_REDIS_URL"):
    app.add_middleware(SignOut, redis_url=events, name="portal")  # the one line
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"])


@app.get("/sign-in")
def sign_in(request: Request) -> Response:
    """Send the browser to the OP."""
    request.session["flow"] = client(TokenCache(store, prefix)).initiate_auth_code_flow(SCOPES, f"{APP_URL}/signed-in")
    return RedirectResponse(request.session["flow"]["auth_uri"], 302)


@app.get("/signed-in")
def signed_in(request: Request) -> Response:
    """Redeem the code; MSAL puts the tokens into the cache."""
    cache = TokenCache(store, prefix)
    msal_app = client(cache)
    try:
        result = msal_app.acquire_token_by_auth_code_flow(request.session.pop("flow", {}), dict(request.query_params))
    except ValueError:  # a state that is not this browser's
        return RedirectResponse("/", 302)
    if "error" in result:
        return PlainTextResponse(f"Sign-in failed: {result['error']}", 400)
    account = msal_app.get_accounts()[0]["home_account_id"]
    cache.save(account)
    claims = result["id_token_claims"]
    request.session["user"] = {name: claims[name] for name in CLAIMS if name in claims}
    request.session["home_account_id"] = account
    return RedirectResponse("/", 302)


@app.get("/")
def orders(request: Request) -> Response:
    """Where the app would call an API for the user."""
    account = request.session.get("home_account_id")
    token = access_token(account) if account else None
    if token is None:
        request.session.clear()
        return RedirectResponse("/sign-in", 302)
    return JSONResponse({"user": request.session["user"]["name"], "token": f"…{token[-6:]}"})


@app.get("/greeting")
def greeting(request: Request) -> str:
    """A page that looks at the cookie and asks for no token."""
    return str(request.session.get("user", {}).get("name", "nobody"))


@app.get("/healthz")
def healthz() -> str:
    """Nobody's page."""
    return "ok"


def access_token(account: str) -> str | None:
    """The silent token call; None when the user has to sign in."""
    cache = TokenCache(store, prefix)
    cache.load(account)
    msal_app = client(cache)
    accounts = [known for known in msal_app.get_accounts() if known["home_account_id"] == account]
    result = msal_app.acquire_token_silent(SCOPES, accounts[0]) if accounts else None
    cache.save(account)
    return (result or {}).get("access_token")


def client(cache: TokenCache) -> Any:
    """A client object for one request, as MSAL recommends."""
    return msal.ConfidentialClientApplication(
        os.environ["OIDC_CLIENT_ID"],
        client_credential=os.environ["OIDC_CLIENT_SECRET"],
        oidc_authority=os.environ["OIDC_ISSUER"],
        token_cache=cache.msal_cache,
        # Keycloak sends no logout token to an app that asks for offline_access.
        exclude_scopes=os.environ.get("EXCLUDE_SCOPES", "").split(),
    )

"""A Flask app on Microsoft's `identity` package: sessions and tokens in Redis, a silent token call for each page.

It reads its settings from the environment; README.md has the list.
"""

from __future__ import annotations

import functools
import os
from typing import Any
from urllib.parse import urlsplit

import msal
import redis
from flask import Flask
from identity.flask import Auth

from receiver.consumer.flask import SignOut

APP_URL = os.environ.get("APP_URL", "http://localhost:5001")

# Keycloak sends no logout token to an app that asks for offline_access. `identity` cannot be told, so MSAL is.
if excluded := os.environ.get("EXCLUDE_SCOPES", "").split():
    for name in ("ConfidentialClientApplication", "PublicClientApplication"):
        setattr(msal, name, functools.partial(getattr(msal, name), exclude_scopes=excluded))

app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.Redis.from_url(os.environ["REDIS_URL"]),
    SESSION_KEY_PREFIX=os.environ.get("SESSION_PREFIX", "portal-flask:session:"),
)
auth = Auth(
    app,
    os.environ["OIDC_CLIENT_ID"],
    client_credential=os.environ["OIDC_CLIENT_SECRET"],
    oidc_authority=os.environ["OIDC_ISSUER"],
    redirect_uri=f"{APP_URL}/signed-in",
)

# Without the variable the app is what it was before: then the evictor alone ends its sessions.
if events := os.environ.get("LOGOUT_RECEIVER_REDIS_URL"):
    SignOut(app, events, name="portal")  # the one line


@app.get("/")
@auth.login_required(scopes=["orders.read"])
def orders(*, context: dict[str, Any]) -> dict[str, str]:
    """Where the app would call an API for the user."""
    return {"user": context["user"]["name"], "token": f"…{context['access_token'][-6:]}"}


@app.get("/healthz")
def healthz() -> str:
    """Nobody's page."""
    return "ok"


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=urlsplit(APP_URL).port, threaded=True)

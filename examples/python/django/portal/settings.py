"""A Django project on Microsoft's `identity` package: sessions and tokens in Django's Redis cache, no database.

Read from the environment; README.md has the list.
"""

from __future__ import annotations

import functools
import os

import msal
from identity.django import Auth

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "portal.urls"
INSTALLED_APPS = ["django.contrib.sessions", "identity"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["REDIS_URL"],
        "KEY_PREFIX": os.environ.get("CACHE_PREFIX", "portal-django"),
    }
}

# Keycloak sends no logout token to an app that asks for offline_access. `identity` cannot be told, so MSAL is.
if excluded := os.environ.get("EXCLUDE_SCOPES", "").split():
    for name in ("ConfidentialClientApplication", "PublicClientApplication"):
        setattr(msal, name, functools.partial(getattr(msal, name), exclude_scopes=excluded))

AUTH = Auth(
    os.environ["OIDC_CLIENT_ID"],
    client_credential=os.environ["OIDC_CLIENT_SECRET"],
    oidc_authority=os.environ["OIDC_ISSUER"],
    redirect_uri=f"{os.environ.get('APP_URL', 'http://localhost:5002')}/signed-in",
)

MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
# Without the variable the project is what it was before: then nobody but its users ends its sessions.
if events := os.environ.get("LOGOUT_RECEIVER_REDIS_URL"):
    MIDDLEWARE += ["receiver.consumer.django.SignOut"]  # the first of two lines
    LOGOUT_RECEIVER = {"REDIS_URL": events, "NAME": "portal"}  # and the second

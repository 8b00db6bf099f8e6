"""How each stack lays its token cache or its sessions out in Redis: one object a layout."""

from __future__ import annotations

from typing import Literal

from receiver.core.layouts.keyed import TEMPLATE_FIELDS, Keyed
from receiver.core.layouts.layout import Layout, Per
from receiver.core.layouts.msal import IdentityWeb, Msal
from receiver.core.layouts.session import DjangoSession, ExpressSession, FlaskSession
from receiver.core.layouts.spring import SpringSession

__all__ = ["LAYOUTS", "TEMPLATE_FIELDS", "Layout", "LayoutName", "Per"]

LayoutName = Literal[
    "microsoft-identity-web",
    "msal-node",
    "msal4j",
    "msal-python",
    "flask-session",
    "django-session",
    "express-session",
    "spring-session",
    "keyed",
]

LAYOUTS: dict[LayoutName, Layout] = {
    # MSAL.NET suggests the account as a user's key, without the client, and this ending for the application's own.
    "microsoft-identity-web": IdentityWeb(prefix="", key_is_account=True, apps_own="_AppTokenCache"),
    # MSAL Node's samples name the key by the account alone, without a prefix.
    "msal-node": Msal(prefix="", key_is_account=True),
    # MSAL4J and MSAL Python suggest no key: the app chooses, and may keep all users in one.
    "msal4j": Msal(keep_empty=True),
    "msal-python": Msal(key_is_account=True),
    # Flask-Session's SESSION_KEY_PREFIX, Django's KEY_PREFIX and VERSION, connect-redis' and Spring Session's own
    # defaults.
    "flask-session": FlaskSession(prefix="session:"),
    "django-session": DjangoSession(prefix=":1:django.contrib.sessions.cache"),
    "express-session": ExpressSession(prefix="sess:"),
    "spring-session": SpringSession(prefix="spring:session:", below="sessions:"),
    "keyed": Keyed(),
}
"""By the name the settings use."""

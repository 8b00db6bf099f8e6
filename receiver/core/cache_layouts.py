"""How each stack lays its token cache or its sessions out in Redis, as data: one entry a layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from receiver.core.signatures import (
    is_anything,
    is_data_protected,
    is_django_session,
    is_encrypted_text,
    is_express_session,
    is_flask_session,
    is_spring_session,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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

Per = Literal["session", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One layout.

    Attributes:
        holds: `tokens`: MSAL's JSON, of one account or several; single accounts are taken out. `session`: one web
            session, deleted whole. `anything`: never looked into, deleted whole.
        storage: `string`, `data` (a field of a hash), `fields` (of a hash) or `key` (of any type).
        prefix: What the stack's keys begin with unless it is told otherwise; None where it has no such default.
        below: What stands between prefix and name in the keys that hold values.
        apps_own: What the keys end with that hold an application's own tokens, which are no user's; empty for none.
        key_is_account: Whether a key is the prefix and MSAL's `home_account_id`.
        per: Whether one value is all a user has here, or one session of theirs.
        keep_empty: Whether an emptied cache is left in place: MSAL4J keeps what it has in memory when the key is gone.
        account_links: Whether an ID token beside an account tells whose account that is. What stands in a web session a
            visitor may have typed: it says whose session this may be, and nothing of anybody's account.
        signature: Whether a value that cannot be read looks as this stack writes it. No other one is ever deleted,
            unless an app registered its key.
    """

    holds: Literal["tokens", "session", "anything"]
    storage: Literal["string", "data", "fields", "key"] = "string"
    prefix: str | None = None
    below: str = ""
    apps_own: str = ""
    key_is_account: bool = False
    per: Per = "user"
    keep_empty: bool = False
    account_links: bool = True
    signature: Callable[[bytes], bool] = is_encrypted_text


def _session(**of_it: Any) -> Layout:
    return Layout(holds="session", per="session", account_links=False, **of_it)


LAYOUTS: dict[LayoutName, Layout] = {
    "microsoft-identity-web": Layout(
        holds="tokens",
        storage="data",
        prefix="",
        apps_own="_AppTokenCache",
        key_is_account=True,
        signature=is_data_protected,
    ),
    "msal-node": Layout(holds="tokens", prefix="", key_is_account=True),
    "msal4j": Layout(holds="tokens", keep_empty=True),
    "msal-python": Layout(holds="tokens", key_is_account=True),
    "flask-session": _session(prefix="session:", signature=is_flask_session),
    "django-session": _session(prefix=":1:django.contrib.sessions.cache", signature=is_django_session),
    "express-session": _session(prefix="sess:", signature=is_express_session),
    "spring-session": _session(
        storage="fields", prefix="spring:session:", below="sessions:", signature=is_spring_session
    ),
    "keyed": Layout(holds="anything", storage="key", signature=is_anything),
}
"""By the name the settings use."""

TEMPLATE_FIELDS = frozenset({"account", "client_id", "iss", "sid", "sub", "tenant"})
"""What the key of a `keyed` cache may name, in braces."""

"""The settings in force without the secrets in them, to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from receiver.bus.link.urls import RedisURL
from receiver.ops.redis_settings import EMBEDDED

if TYPE_CHECKING:
    from receiver.ops.settings import Settings


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings in force as plain data, secrets hidden: passwords of URLs, and every query, which may hold one."""
    shown = settings.model_dump(mode="json")
    for place in (shown, *shown["caches"]):
        if place["redis"] and place["redis"]["url"] != EMBEDDED:
            place["redis"]["url"] = RedisURL.parse(place["redis"]["url"]).without_secrets
    for place in (shown, *shown["tenants"]):
        if place["outbound"]["proxy_url"]:
            place["outbound"]["proxy_url"] = _without_secrets(place["outbound"]["proxy_url"])
    for tenant in shown["tenants"]:
        for name in ("discovery_url", "jwks_uri"):
            if tenant[name]:
                # The query says which of an OP's keys are meant, and is no secret there.
                tenant[name] = _without_password(tenant[name])
    return shown


def _without_secrets(url: str) -> str:
    parts = urlsplit(_without_password(url))
    return urlunsplit(parts._replace(query="***" if parts.query else ""))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if not parts.password:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"))

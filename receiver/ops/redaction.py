"""The settings in force without the secrets in them, to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from receiver.bus.link.urls import RedisURL
from receiver.errors import without_passwords
from receiver.ops.redis_settings import EMBEDDED

if TYPE_CHECKING:
    from receiver.ops.settings import Settings


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings in force as plain data, secrets hidden: passwords of URLs, and queries that may hold one."""
    shown = settings.model_dump(mode="json")
    for place in (shown, *shown["caches"]):
        if place["redis"] and place["redis"]["url"] != EMBEDDED:
            place["redis"]["url"] = RedisURL.parse(place["redis"]["url"]).without_secrets
    for place in (shown, *shown["tenants"]):
        if place["outbound"]["proxy_url"]:
            place["outbound"]["proxy_url"] = _without_secrets(place["outbound"]["proxy_url"])
    # The query of an OP's address says which of its keys are meant, for instance, and is no secret there.
    return {name: _hidden(value) for name, value in shown.items()}


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="***" if parts.query else ""))


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    return without_passwords(value) if isinstance(value, str) else value

"""What can be wrong in `caches` and `evictor`, and what is said about it; what is not said stands for itself."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from receiver.core.layouts import LAYOUTS
from receiver.errors import ConfigurationError
from receiver.evictor.opening import open_caches
from receiver.ops.redaction import redacted
from receiver.ops.settings import Settings, load

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

TENANTS = [{"name": "main", "issuer": "https://op.example", "client_ids": ["c1"]}]


def loaded(path: Path, *caches: dict[str, Any], **sections: Any) -> Settings:
    """Settings with these caches."""
    config = path / "config.yaml"
    config.write_text(yaml.safe_dump({"tenants": TENANTS, "caches": list(caches), **sections}))
    return load(config)


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"layout": "msal-node"}, "caches.0.name: Field required"),
        ({"name": "Web", "layout": "msal-node"}, "caches.0.name: String should match pattern"),
        ({"name": "web"}, "caches.0.layout: Field required"),
        ({"name": "web", "layout": "memory"}, "caches.0.layout: Input should be 'microsoft-identity-web'"),
        ({"name": "web", "layout": "msal-node", "prefix": "a", "key": "b"}, "set prefix or key, not both"),
        ({"name": "web", "layout": "msal4j"}, "the layout msal4j needs prefix, or key where all users share one"),
        ({"name": "web", "layout": "msal-python"}, "the layout msal-python needs prefix, or key"),
        (
            {"name": "web", "layout": "flask-session", "key": "x"},
            "flask-session has a key for each session; set prefix",
        ),
        ({"name": "web", "layout": "keyed"}, "the layout keyed needs a key that names {account}, {sub} or {sid}"),
        ({"name": "web", "layout": "keyed", "prefix": "x"}, "the layout keyed needs a key that names"),
        ({"name": "web", "layout": "keyed", "key": "{tenant}"}, "the layout keyed needs a key that names"),
        ({"name": "web", "layout": "keyed", "key": "{oid}"}, "key: {oid} is not one of account, client_id, iss, sid"),
        ({"name": "web", "layout": "keyed", "key": "{sub.__class__}"}, "key: {sub.__class__} is not one of"),
        ({"name": "web", "layout": "keyed", "key": "{}"}, "key: {} is not one of"),
        ({"name": "web", "layout": "keyed", "key": "{sub"}, "key: not a template"),
        ({"name": "web", "layout": "keyed", "key": "{sub!r}"}, "a field of the template is its name in braces"),
        ({"name": "web", "layout": "keyed", "key": "{account:>9}"}, "a field of the template is its name in braces"),
        ({"name": "web", "layout": "msal-node", "per": "tenant"}, "caches.0.per: Input should be 'session' or 'user'"),
        ({"name": "web", "layout": "msal-node", "tenants": ["other"]}, "caches: web: other is not a tenant"),
        ({"name": "web", "layout": "msal-node", "tenants": []}, "caches.0.tenants: List should have at least 1 item"),
        ({"name": "web", "layout": "msal-node", "redis": {"url": "embedded"}}, "a cache is not in an embedded Redis"),
        ({"name": "web", "layout": "msal-node", "redis": {"url": "http://x"}}, "scheme 'http' is not one of"),
        ({"name": "web", "layout": "msal-node", "prefixes": "x"}, "caches.0.prefixes is not a setting"),
    ],
)
def test_a_cache_that_cannot_be(tmp_path: Path, cache: dict[str, Any], message: str) -> None:
    """Each mistake is named, with the setting it is in."""
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, cache)
    assert message in refused.value.message


def test_two_of_a_name(tmp_path: Path) -> None:
    """Names tell caches apart in logs and metrics."""
    cache = {"name": "web", "layout": "msal-node"}
    with pytest.raises(ConfigurationError, match="caches: two caches have the same name"):
        loaded(tmp_path, cache, cache)


@pytest.mark.parametrize(
    ("evictor", "message"),
    [
        ({"recheck_s": [2, 1]}, "recheck_s must be positive and ascending"),
        ({"recheck_s": [0, 1]}, "recheck_s must be positive and ascending"),
        ({"recheck_s": [-1]}, "recheck_s must be positive and ascending"),
        ({"in_flight_s": 0}, "evictor.in_flight_s: Input should be greater than 0"),
        ({"rescan_s": 0}, "evictor.rescan_s: Input should be greater than 0"),
        ({"index_keep_s": 60}, "evictor.index_keep_s: Input should be greater than or equal to 3600"),
        ({"recheck": []}, "evictor.recheck is not a setting"),
    ],
)
def test_times_that_cannot_be(tmp_path: Path, evictor: dict[str, Any], message: str) -> None:
    """Each mistake is named, with the setting it is in."""
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, evictor=evictor)
    assert message in refused.value.message


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_layout_stands_for(tmp_path: Path, layout: str) -> None:
    """Prefix and kind follow from the layout's name, and can be told otherwise."""
    given = {"keyed": {"key": "{sub}"}, "msal4j": {"key": "all"}, "msal-python": {"prefix": "py:"}}.get(layout, {})
    (cache,) = loaded(tmp_path, {"name": "x", "layout": layout, **given}).caches
    expected = {
        "microsoft-identity-web": "", "msal-node": "", "msal4j": "", "msal-python": "py:", "keyed": "",
        "flask-session": "session:", "django-session": ":1:django.contrib.sessions.cache", "express-session": "sess:",
        "spring-session": "spring:session:",
    }  # fmt: skip
    assert expected[layout] == cache.effective_prefix
    assert ("session" if layout.endswith("session") else "user") == cache.shape.per
    assert cache.index
    if layout not in {"keyed", "msal4j"}:
        (told,) = loaded(tmp_path, {"name": "x", "layout": layout, "prefix": "mine:", "per": "session"}).caches
        assert ("mine:", "session") == (told.effective_prefix, told.per)


def test_secrets_of_a_cache(tmp_path: Path) -> None:
    """The password of a cache's own Redis is not shown with the settings."""
    url = "redis://user:geheim@cache.example:6379/0"
    shown = redacted(
        loaded(tmp_path, {"name": "x", "layout": "msal-node", "redis": {"url": url, "password": "geheim"}})
    )
    assert "geheim" not in str(shown)
    assert "cache.example" in str(shown)


async def test_tenants_of_one_issuer(redis_client: redis.asyncio.Redis) -> None:
    """A client's tokens are its tenant's, where that is one of the cache's; others are one's of the same issuer."""
    one, other = "https://op.example", "https://other.example"
    tenants = [
        {"name": name, "issuer": issuer, "client_ids": [client]}
        for name, issuer, client in (("a", one, "c1"), ("b", one, "c2"), ("c", other, "c3"))
    ]
    caches = [{"name": "all", "layout": "msal-node"}, {"name": "of-a", "layout": "flask-session", "tenants": ["a"]}]
    async with AsyncExitStack() as stack:
        whole, of_a = await open_caches(Settings(tenants=tenants, caches=caches), redis_client, stack)
    asked = [(one, "c1"), (one, "c2"), (other, "c3"), ("https://stranger.example", "c1")]
    assert ["a", "b", "c", None] == [whole.tenant_of(*client) for client in asked]
    assert ["a", "a", None, None] == [of_a.tenant_of(*client) for client in asked]
    assert ({one}, {other}) == (set(of_a.issuers), set(of_a.not_issuers))

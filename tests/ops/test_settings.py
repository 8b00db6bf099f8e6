"""Settings: where they come from, what wins, and that mistakes are named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import ValidationError

from receiver.bus.link.connection import connect
from receiver.errors import ConfigurationError
from receiver.ops.audit_settings import AuditSettings
from receiver.ops.cache_settings import EvictorSettings
from receiver.ops.listener_settings import InternalSettings
from receiver.ops.redaction import redacted
from receiver.ops.redis_settings import EMBEDDED, RedisSettings
from receiver.ops.revocation_settings import RevocationClientSettings
from receiver.ops.sections import Section
from receiver.ops.settings import load
from receiver.ops.source_settings import GraphSettings
from receiver.ops.ssf_settings import AccessSettings, SSFSettings

if TYPE_CHECKING:
    from pathlib import Path

TENANT = {"name": "main", "issuer": "https://op.example/t1", "client_ids": ["portal"]}


def write(path: Path, values: object) -> Path:
    """A settings file."""
    path.write_text(yaml.safe_dump(values))
    return path


def test_nothing_configured_is_a_first_run() -> None:
    """Without file and environment Redis is embedded and there is no tenant, so nobody's server is touched."""
    settings = load()

    assert settings.redis.url == EMBEDDED
    assert [] == settings.all_tenants


def test_one_tenant_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuer and client ids in the environment are a whole configuration."""
    monkeypatch.setenv("RECEIVER_ISSUER", "https://op.example/t1")
    monkeypatch.setenv("RECEIVER_CLIENT_IDS", "portal, orders")
    settings = load()

    [tenant] = [tenant.to_tenant() for tenant in settings.all_tenants]
    assert ("main", "https://op.example/t1") == (tenant.name, tenant.issuer)
    assert {"portal", "orders"} == tenant.client_ids
    assert settings.redis.url == "redis://localhost:6379/0"


def test_command_line_wins_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source overrides single keys of the next, and leaves the others."""
    file = write(tmp_path / "c.yaml", {"public": {"port": 1, "host": "127.0.0.1", "retry_after_s": 9}})
    monkeypatch.setenv("RECEIVER_PUBLIC__PORT", "2")
    monkeypatch.setenv("RECEIVER_PUBLIC__HOST", "127.0.0.2")
    settings = load(file, ["public.port=3"])

    assert (3, "127.0.0.2", 9) == (settings.public.port, settings.public.host, settings.public.retry_after_s)


def test_file_named_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECEIVER_CONFIG names the file when the command line does not."""
    monkeypatch.setenv("RECEIVER_CONFIG", str(write(tmp_path / "c.yaml", {"tenants": [TENANT]})))

    assert ["main"] == [tenant.name for tenant in load().all_tenants]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown section": ({"publik": {}}, "publik is not a setting"),
    "unknown key": ({"public": {"prot": 1}}, "public.prot is not a setting"),
    "unknown tenant key": ({"tenants": [{**TENANT, "isuer": "x"}]}, "tenants.0.isuer is not a setting"),
    "http issuer": ({"tenants": [{**TENANT, "issuer": "http://op.example"}]}, "plain http"),
    "no client": ({"tenants": [{**TENANT, "client_ids": []}]}, "client_ids"),
    "unknown preset": ({"tenants": [{**TENANT, "preset": "adfs"}]}, "unknown preset"),
    "unsupported algorithm": ({"tenants": [{**TENANT, "algorithms": ["HS256"]}]}, "HS256 not supported"),
    "two of one name": ({"tenants": [TENANT, TENANT]}, "same name"),
    "one client id of one issuer twice": ({"tenants": [TENANT, {**TENANT, "name": "b"}]}, "same client id"),
    "template without list": ({"tenants": [{**TENANT, "issuer": "https://l.example/{tenantid}/v2.0"}]}, "allowed"),
    "encrypted without key": ({"tenants": [{**TENANT, "encrypted": True}]}, "needs decryption_key_file"),
    "weak encryption": ({"tenants": [{**TENANT, "key_management_algorithms": ["RSA1_5"]}]}, "RSA1_5 not supported"),
    "bad redis scheme": ({"redis": {"url": "http://x"}}, "scheme"),
    "repeats forgotten too soon": (
        {"events": {"dedupe_s": 300}, "tenants": [TENANT]},
        "events.dedupe_s (300) is shorter",
    ),
    "text for a section": ({"redis": "redis://x"}, "redis: expected a section"),
    "nothing in a section": ({"public": None}, "public: expected a section"),
    "text for a tenant": ({"tenants": ["main"]}, "tenants.0: expected a section"),
    "endless time": ({"redis": {"timeout_s": float("inf")}}, "redis.timeout_s: Input should be a finite number"),
    "time beyond what Redis knows": ({"events": {"mark_s": 10**20}}, "events.mark_s: expected at most"),
    "time beyond what the event loop knows": ({"redis": {"timeout_s": 1e300}}, "redis.timeout_s: expected at most"),
    "time in a list": ({"evictor": {"recheck_s": [1, 1e300]}}, "evictor.recheck_s: expected at most"),
    "time outside sections": ({"apps_seen_s": 10**20}, "apps_seen_s: expected at most"),
    "issuer alone": ({"issuer": "https://op.example"}, "go together"),
}


@pytest.mark.parametrize(("values", "text"), WRONG.values(), ids=WRONG.keys())
def test_mistake_is_named(tmp_path: Path, values: dict[str, Any], text: str) -> None:
    """A wrong file is refused in one line that names the key."""
    file = write(tmp_path / "c.yaml", values)
    with pytest.raises(ConfigurationError) as caught:
        load(file)

    assert text in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "overrides", [["public=1", "public.port=2"], ["public=["], ["nothing"], ["=1"], ["public.port=2026-02-30"]]
)
def test_bad_override_is_named(overrides: list[str]) -> None:
    """A `--set` that makes no sense is refused in one line."""
    with pytest.raises(ConfigurationError, match="--set"):
        load(overrides=overrides)


def test_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt environment variable is an error, not silence."""
    monkeypatch.setenv("RECEIVER_PUBLIK__PORT", "1")

    with pytest.raises(ConfigurationError, match="RECEIVER_PUBLIK__PORT is not a setting"):
        load()


REPEATED = {
    "section": "redis: {url: 'redis://a'}\nredis: {url: 'redis://b'}\n",
    "within a section": "redis:\n  url: redis://a\n  url: redis://b\n",
    "within a list": "tenants:\n  - name: a\n    name: b\n",
}


@pytest.mark.parametrize("text", REPEATED.values(), ids=REPEATED.keys())
def test_key_written_twice_is_refused(tmp_path: Path, text: str) -> None:
    """YAML keeps the last of two equal keys, so the first section would be dropped without a word."""
    file = tmp_path / "c.yaml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=r"c\.yaml is not YAML: the key \w+ is there twice .*line [23]"):
        load(file)


def test_merged_key_may_be_written_again(tmp_path: Path) -> None:
    """A key that comes by `<<`, at any depth, gives way to one that is written out."""
    file = tmp_path / "c.yaml"
    file.write_text(
        "tenants:\n"
        "  - &a {name: a, issuer: 'https://op.example/a', client_ids: [portal]}\n"
        "  - &b {<<: *a, name: b, issuer: 'https://op.example/b'}\n"
        "  - {<<: *b, name: c, issuer: 'https://op.example/c'}\n"
    )

    assert ["a", "b", "c"] == [tenant.name for tenant in load(file).all_tenants]


def test_value_in_the_environment_that_is_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in the environment is JSON, and the message says so."""
    monkeypatch.setenv("RECEIVER_TENANTS", "main")

    with pytest.raises(ConfigurationError, match=r'"tenants".*expected JSON'):
        load()


def test_variable_with_one_underscore_is_told_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual slip is named in the message."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", "redis://a")

    with pytest.raises(ConfigurationError, match=r"RECEIVER_REDIS_URL is not a setting.*RECEIVER_REDIS__URL"):
        load()


@pytest.mark.parametrize(
    "text", ["a: [", "- a", "{1: 2}", "public: {port: 2026-02-30}", "a: " + "9" * 5000, "a: &a [*a]\nb"]
)
def test_file_that_is_no_settings_file(tmp_path: Path, text: str) -> None:
    """A file that is not YAML, or not a mapping, is refused by name."""
    file = tmp_path / "c.yaml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=r"c\.yaml"):
        load(file)


def test_missing_secret_file_is_named(tmp_path: Path) -> None:
    """A secret that is not mounted is an error with its path, when it is needed."""
    settings = load(write(tmp_path / "c.yaml", {"redis": {"password_file": str(tmp_path / "absent")}}))

    with pytest.raises(ConfigurationError, match="absent"):
        _ = connect(settings.redis.url, timeout_s=1, **settings.redis.options)


def test_shown_settings_hide_secrets(tmp_path: Path) -> None:
    """What `config show` prints holds no password, neither its own nor the URL's."""
    values = {
        "redis": {"url": "redis://user:hunter2@host/0?client_name=hunter4", "password": "hunter3"},
        "outbound": {"proxy_url": "http://me:hunter5@proxy:3128"},
        "tenants": [
            {
                **TENANT,
                "jwks_uri": "https://me:hunter6@op.example/jwks?appid=42",
                "discovery_url": "https://me:hunter7@op.example/discovery",
                "outbound": {"proxy_url": "http://me:hunter8@proxy:3128"},
                "keycloak": {
                    "admin_url": "https://me:hunter9@op.example/admin/realms/main",
                    "access": {
                        "client_id": "w",
                        "client_secret": "hunter10",
                        "token_endpoint": "https://me:hunter11@op.example/token",
                    },
                },
            }
        ],
    }
    shown = json.dumps(redacted(load(write(tmp_path / "c.yaml", values))))

    assert "hunter" not in shown
    assert "redis://user:***@host/0?***" in shown
    assert "https://me:***@op.example/jwks?appid=42" in shown


@pytest.mark.parametrize("address", ["http://me:hunter2@op.example/jwks", "https://me:hunter2@op.example/jwks#1"])
def test_refused_address_hides_its_password(tmp_path: Path, address: str) -> None:
    """The message goes to the log, and to readiness where settings are read again."""
    with pytest.raises(ConfigurationError, match=r"me:\*\*\*@op\.example"):
        load(write(tmp_path / "c.yaml", {"tenants": [{**TENANT, "jwks_uri": address}]}))


def test_preset_gives_way_to_the_tenants_own_setting(tmp_path: Path) -> None:
    """A preset fills in what is left open; what the tenant sets wins."""
    tenants = [
        {**TENANT, "name": "a", "issuer": "https://a.example", "preset": "hydra"},
        {**TENANT, "name": "b", "issuer": "https://b.example", "preset": "hydra", "require_exp": True},
    ]
    settings = load(write(tmp_path / "c.yaml", {"tenants": tenants}))

    assert [False, True] == [tenant.to_tenant().require_exp for tenant in settings.all_tenants]


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (AccessSettings, "token"),
        (AccessSettings, "client_secret"),
        (AuditSettings, "key"),
        (EvictorSettings, "index_secret"),
        (GraphSettings, "client_secret"),
        (InternalSettings, "token"),
        (RedisSettings, "password"),
        (RedisSettings, "sentinel_password"),
        (RevocationClientSettings, "secret"),
        (SSFSettings, "push_authorization"),
    ],
)
def test_a_secret_or_a_file_of_it(section: type[Section], name: str) -> None:
    """What would win of a secret and its file is no guess: both are refused, whatever else the section asks."""
    needed = {"client_id": "c"} if section is GraphSettings else {}

    with pytest.raises(ValidationError, match=f"set {name} or {name}_file, not both"):
        section(**needed, **{name: "a secret", f"{name}_file": "/x"})


def test_every_secret_with_a_file_is_asked() -> None:
    """The list above is whole: every setting with a `*_file` twin is in it."""
    marks = test_a_secret_or_a_file_of_it.pytestmark  # type: ignore[attr-defined]  # pytest's own
    asked = {(section.__name__, name) for section, name in marks[0].args[1]}

    assert asked == {
        (section.__name__, name)
        for section in Section.__subclasses__()
        for name in section.model_fields
        if f"{name}_file" in section.model_fields
    }

"""The settings of revocation: off by default, mistakes named, secrets hidden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from receiver.cli import main
from receiver.errors import ConfigurationError
from receiver.ops.redaction import redacted
from receiver.ops.settings import Settings, load
from receiver.outbound.revocation import revocations_of
from tests.docs.pages import blocks, read, section
from tests.outbound.rig import SECRET

if TYPE_CHECKING:
    from pathlib import Path

TENANT = {"name": "main", "issuer": "https://op.example/t1", "client_ids": ["portal"]}


def loaded(directory: Path, *tenants: dict[str, Any]) -> Settings:
    """Settings with these tenants, read from a file."""
    file = directory / "c.yaml"
    file.write_text(yaml.safe_dump({"tenants": list(tenants)}))
    return load(file)


def with_clients(clients: dict[str, Any], **revocation: Any) -> dict[str, Any]:
    """A tenant that revokes for these clients."""
    return {**TENANT, "revocation": {"clients": clients, **revocation}}


def test_off_by_default(tmp_path: Path) -> None:
    """A tenant that says nothing of revocation does not revoke."""
    assert [] == revocations_of(loaded(tmp_path, TENANT).all_tenants)


def test_clients_with_their_credentials(tmp_path: Path) -> None:
    """Secret, secret file and public client arrive as they are meant, with the tenant's addresses."""
    secret_file = tmp_path / "secret"
    secret_file.write_text("from a file\n")
    clients = {
        "portal": {"secret": SECRET},
        "orders": {"secret_file": str(secret_file), "method": "client_secret_post"},
        "spa": {"method": "none"},
    }
    [found] = revocations_of(loaded(tmp_path, with_clients(clients)).all_tenants)

    assert ("main", "https://op.example/t1", None) == (found.tenant.name, found.tenant.issuer, found.endpoint)
    assert found.tenant.metadata_url == "https://op.example/t1/.well-known/openid-configuration"
    assert not found.tenant.allow_http
    assert {
        "portal": ("client_secret_basic", SECRET),
        "orders": ("client_secret_post", "from a file"),
        "spa": ("none", None),
    } == {client_id: (client.method, client.secret) for client_id, client in found.clients.items()}
    assert SECRET not in repr(found)


def test_tenants_own_addresses_are_used(tmp_path: Path) -> None:
    """`endpoint`, `discovery_url` and `allow_http` of the tenant hold for revocation, too."""
    values = with_clients({"spa": {"method": "none"}}, endpoint="http://op.internal/revoke")
    changes = {"allow_http": True, "discovery_url": "https://op.example/d"}
    [found] = revocations_of(loaded(tmp_path, {**values, **changes}).all_tenants)

    assert ("http://op.internal/revoke", "https://op.example/d", True) == (
        found.endpoint, found.tenant.metadata_url, found.tenant.allow_http,
    )  # fmt: skip


BASIC = {"portal": {"secret": SECRET}}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no client": (with_clients({}), "revocation.clients"),
    "no clients at all": ({**TENANT, "revocation": {}}, "revocation.clients"),
    "no secret": (with_clients({"portal": {}}), "client_secret_basic needs secret or secret_file"),
    "both secrets": (with_clients({"portal": {"secret": SECRET, "secret_file": "/x"}}), "not both"),
    "empty secret": (with_clients({"portal": {"secret": ""}}), "secret is empty"),
    "public with a secret": (with_clients({"portal": {"secret": SECRET, "method": "none"}}), "public client"),
    "unknown method": (with_clients({"portal": {"secret": SECRET, "method": "private_key_jwt"}}), "method"),
    "unknown key": (with_clients({"portal": {"secert": SECRET}}), "portal.secert is not a setting"),
    "unknown member": (with_clients(BASIC, url="https://op.example"), "revocation.url is not a setting"),
    "plain http": (with_clients(BASIC, endpoint="http://op.example/revoke"), "revocation.endpoint"),
    "no address": (with_clients(BASIC, endpoint="/revoke"), "revocation.endpoint"),
    "fragment": (with_clients(BASIC, endpoint="https://op.example/revoke#x"), "revocation.endpoint"),
    "credentials": (with_clients(BASIC, endpoint=f"https://portal:{SECRET}@op.example/revoke"), "no credentials"),
    "placeholder": (with_clients(BASIC, endpoint="https://op.example/{tenantid}/revoke"), "no placeholder"),
    "Entra": ({**with_clients(BASIC), "preset": "entra"}, "Entra ID has no revocation endpoint"),
    "many Entra tenants": (
        {
            **with_clients(BASIC),
            "issuer": "https://login.example/{tenantid}/v2.0",
            "allowed_tenant_ids": ["8eaef023-2b34-4da1-9baa-8bc8c9d6a490"],
        },
        "Entra ID has no revocation endpoint",
    ),
}


@pytest.mark.parametrize(("tenant", "text"), WRONG.values(), ids=WRONG.keys())
def test_mistake_is_named(tmp_path: Path, tenant: dict[str, Any], text: str) -> None:
    """A wrong setting is refused in one line that names it and shows no secret."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, tenant)

    assert text in caught.value.message
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message


def test_unreadable_secret_file_is_named(tmp_path: Path) -> None:
    """A secret that is not mounted is an error with its path when it is needed, not before."""
    settings = loaded(tmp_path, with_clients({"portal": {"secret_file": str(tmp_path / "absent")}}))

    with pytest.raises(ConfigurationError, match="absent"):
        revocations_of(settings.all_tenants)


def test_shown_settings_hide_the_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`config show` says that there is a secret, and not which."""
    settings = loaded(tmp_path, with_clients(BASIC))

    assert SECRET not in json.dumps(redacted(settings))
    assert main(["config", "show", "--config", str(tmp_path / "c.yaml")]) == 0
    shown = capsys.readouterr().out
    assert SECRET not in shown
    assert yaml.safe_load(shown)["tenants"][0]["revocation"]["clients"]["portal"]["secret"] == "**********"


def test_tenant_list_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of tenants in a variable may hold revocation, and a mistake in it shows no secret."""
    monkeypatch.setenv("RECEIVER_TENANTS", json.dumps([with_clients(BASIC)]))
    [tenant] = revocations_of(load().all_tenants)
    assert tenant.clients["portal"].secret == SECRET
    monkeypatch.setenv("RECEIVER_TENANTS", json.dumps([with_clients({"portal": {"secret": SECRET, "x": SECRET}})]))

    with pytest.raises(ConfigurationError) as caught:
        load()
    assert SECRET not in caught.value.message


def test_schema_knows_revocation() -> None:
    """`config schema` describes it, with the secret marked as one."""
    definitions = Settings.model_json_schema()["$defs"]

    assert {"endpoint", "clients"} == set(definitions["RevocationSettings"]["properties"])
    secret = definitions["RevocationClientSettings"]["properties"]["secret"]["anyOf"][0]
    assert (secret["format"], secret["writeOnly"]) == ("password", True)


def test_example_on_the_page_is_a_good_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example of docs/revocation.md passes `receiver config check` and revokes for its three clients."""
    [example] = blocks(section(read("revocation.md"), "How to set it up"), "yaml")
    file = tmp_path / "receiver.yaml"
    file.write_text(example, encoding="utf-8")

    assert main(["config", "check", "--config", str(file)]) == 0, capsys.readouterr().err
    revocation = load(file).all_tenants[0].revocation
    assert revocation is not None
    assert {"portal", "orders", "spa"} == set(revocation.clients)

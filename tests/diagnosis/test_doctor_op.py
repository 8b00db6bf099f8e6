"""`receiver doctor` on OPs: what each of them publishes, and what that means for logouts."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from receiver.diagnosis import doctor
from receiver.diagnosis.issuers import difference, is_entra
from receiver.diagnosis.op import clock_ahead, explain_failure
from receiver.diagnosis.op_checks import OPFacts, check_op
from receiver.errors import FetchError
from receiver.ops.settings import Settings
from receiver.ops.tenant_settings import TenantSettings
from receiver.outbound.certificates import explain_certificate
from tests.diagnosis.conftest import settings_for
from tests.support.clock import NOW
from tests.support.keys import ec_pair, rsa_pair

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from receiver.diagnosis.checks import Check
    from tests.diagnosis.conftest import Command
    from tests.support.op import OP


ADVERTISED = {
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "id_token_signing_alg_values_supported": ["RS256", "ES256"],
}
"""What an OP with back-channel logout publishes."""


async def examined(op: OP, **tenant: Any) -> Mapping[str, Check]:
    """The checks of tenant t1 at this OP, by name."""
    checks = await doctor.examine(settings_for(op, **tenant))
    return {check.name: check for check in checks if check.area == "t1"}


def outcomes(checks: Mapping[str, Check]) -> dict[str, str]:
    """Check to outcome."""
    return {name: check.outcome for name, check in checks.items()}


async def test_good_op(op: OP) -> None:
    """An OP that does everything we need passes every check, and the URL to register is shown."""
    op.metadata = ADVERTISED

    checks = await examined(op)

    assert {
        "discovery": "ok",
        "issuer": "ok",
        "backchannel": "ok",
        "session": "ok",
        "jwks": "ok",
        "algorithms": "ok",
        "clock": "ok",
        "register": "note",
    } == outcomes(checks)
    assert "https://<your public host>/backchannel-logout/t1" in checks["register"].text


async def test_issuer_that_differs_by_a_slash(op: OP) -> None:
    """A trailing slash is named as the difference."""
    op.metadata = {"issuer": op.issuer + "/"}

    check = (await examined(op))["issuer"]

    assert "failed" == check.outcome
    assert "only a trailing slash differs: it has one, the configured one has none" in check.text


async def test_inner_and_outer_name_of_an_op(op: OP) -> None:
    """An OP asked by its inner name publishes that name: the issuer, which its tokens bear, is to be kept."""
    op.metadata = {"issuer": "http://keycloak.sso.svc:8080/t1"}

    check = (await examined(op, discovery_url=f"{op.issuer}/.well-known/openid-configuration"))["issuer"]

    assert "failed" == check.outcome
    assert f'Set jwks_uri, here "{op.issuer}/jwks"' in check.fix
    assert "Keep the issuer" in check.fix


async def test_op_without_backchannel_logout(op: OP) -> None:
    """An OP that does not advertise back-channel logout is a warning that says what else to do."""
    check = (await examined(op))["backchannel"]

    assert "warning" == check.outcome
    assert "front-channel" in check.fix


@pytest.mark.parametrize(
    ("metadata", "check", "outcome"),
    [
        ({"backchannel_logout_supported": True}, "backchannel", "ok"),
        ({"frontchannel_logout_supported": True}, "frontchannel", "ok"),
        ({}, "frontchannel", "warning"),
    ],
)
async def test_tenant_with_front_channel_logout(op: OP, metadata: dict[str, Any], check: str, outcome: str) -> None:
    """Where the tenant takes front-channel logout in, an OP that has only that is as it should be."""
    op.metadata = metadata

    assert outcome == (await examined(op, frontchannel={}))[check].outcome


async def test_op_without_session_id(op: OP) -> None:
    """No `sid` is a warning; one that names the setting where this tenant requires it."""
    op.metadata = {"backchannel_logout_supported": True}

    assert "end every session" in (await examined(op))["session"].text
    assert "Set require_sid: false." == (await examined(op, require_sid=True))["session"].fix


def test_entra_is_told_plainly() -> None:
    """Entra ID sends no back-channel logout, and the ways around it are named."""
    settings = TenantSettings(
        name="entra", preset="entra", issuer="https://login.microsoftonline.com/x/v2.0", client_ids=["c1"]
    )

    checks = check_op(OPFacts(tenant=settings.to_tenant(), metadata=None, jwks=None, ahead_s=None))

    check = next(check for check in checks if check.name == "backchannel")
    assert "Entra ID sends no back-channel logout" in check.text
    assert all(way in check.fix for way in ("front-channel", "broker OP"))


def keycloak(op: OP, **more: Any) -> dict[str, Any]:
    """What a realm of Keycloak publishes beside what any OP does."""
    return {
        **ADVERTISED,
        "authorization_endpoint": f"{op.issuer}/protocol/openid-connect/auth",
        "scopes_supported": ["openid", "offline_access", "profile"],
        **more,
    }


async def test_keycloak_that_offers_offline_access(op: OP) -> None:
    """Keycloak that offers `offline_access` is a warning that says where the cure is."""
    op.metadata = keycloak(op)

    check = (await examined(op))["offline_access"]

    assert "warning" == check.outcome
    assert "docs/presets.md" in check.fix


async def test_offline_access_elsewhere(op: OP) -> None:
    """Other OPs, and a realm without that scope, are not warned about."""
    op.metadata = {**ADVERTISED, "scopes_supported": ["openid", "offline_access"]}
    assert "offline_access" not in await examined(op)

    op.metadata = keycloak(op, scopes_supported=["openid"])
    assert "offline_access" not in await examined(op)


async def test_key_that_keycloak_has_not_made_yet(op: OP) -> None:
    """An algorithm that Keycloak offers and has no key for yet is a warning; at another OP it fails."""
    op.metadata = keycloak(op)
    assert "warning" == (await examined(op, algorithms=["ES256"]))["algorithms"].outcome

    op.metadata = ADVERTISED
    assert "failed" == (await examined(op, algorithms=["ES256"]))["algorithms"].outcome


async def test_op_that_is_down(op: OP) -> None:
    """Discovery that answers 500 fails with the address and the status."""
    op.status = 500

    checks = await examined(op)

    assert {"discovery": "failed", "clock": "note", "register": "note"} == outcomes(checks)
    assert "HTTP 500" in checks["discovery"].text


async def test_keys_by_configured_address(op: OP) -> None:
    """With `jwks_uri` configured, discovery is not asked, and that is said."""
    checks = await examined(op, jwks_uri=f"{op.issuer}/jwks")

    assert "note" == checks["discovery"].outcome
    assert "ok" == checks["jwks"].outcome
    assert 0 == op.discovery_fetches


@pytest.mark.parametrize(
    ("metadata", "body", "expected"),
    [
        ({"jwks_uri": None}, None, "has no jwks_uri"),
        ({}, b"<html>", "the answer is not JSON"),
        ({}, b'{"keys": []}', "holds no key"),
    ],
)
async def test_keys_that_cannot_be_had(op: OP, metadata: dict[str, Any], body: bytes | None, expected: str) -> None:
    """Whatever is wrong with the key address fails, in words."""
    op.metadata, op.jwks_body = metadata, body

    check = (await examined(op))["jwks"]

    assert "failed" == check.outcome
    assert expected in check.text


async def test_unusable_keys_are_counted_and_explained(op: OP) -> None:
    """Each key that is set aside is listed with its reason; a weak or private one is a warning."""
    op.keys += [
        rsa_pair("weak", 1024).published(),
        rsa_pair("enc").published(use="enc"),
        rsa_pair("ops").published(key_ops=["sign"]),
        rsa_pair("secret").published(d="AQAB"),
        rsa_pair("broken").published(n="!"),
        ec_pair("k256").published(crv="secp256k1"),
        "not an object",  # type: ignore[list-item]  # on purpose
    ]

    check = (await examined(op))["unusable_keys"]

    assert "warning" == check.outcome
    assert check.text.startswith("7 keys not used for signatures")
    for reason in (
        'kid "weak": RSA with 1024 bits',
        'kid "enc": its use is "enc"',
        'kid "ops": its key_ops lack verify',
        'kid "secret": a private or shared key, published',
        'kid "broken": cannot be read',
        'crv "secp256k1" is not supported',
        "kid null: not a JSON object",
    ):
        assert reason in check.text


async def test_encryption_keys_are_no_cause_for_alarm(op: OP) -> None:
    """A set that also holds keys for encryption, as Keycloak's does, is fine."""
    op.keys.append(rsa_pair("enc").published(use="enc"))

    assert "note" == (await examined(op))["unusable_keys"].outcome


async def test_only_weak_keys(op: OP) -> None:
    """A set with nothing to verify with fails, and so does the algorithm."""
    op.keys = [rsa_pair("weak", 1024).published()]

    checks = await examined(op)

    assert ("failed", "failed") == (checks["jwks"].outcome, checks["algorithms"].outcome)


@pytest.mark.parametrize(
    ("advertised", "tenant", "expected"),
    [
        (["ES256"], {}, "the OP signs ID tokens with"),
        (["ES256"], {"algorithms": ["ES256"]}, "no key fits; the OP's keys are for RSA"),
        (["RS256"], {"client_algorithms": {"c1": ["ES256"]}}, 'cannot sign for client "c1"'),
    ],
)
async def test_algorithms_that_do_not_meet(
    op: OP, advertised: list[str], tenant: dict[str, Any], expected: str
) -> None:
    """Configured algorithms that the OP does not sign with, or has no key for, fail."""
    op.metadata = {"id_token_signing_alg_values_supported": advertised}

    check = (await examined(op, **tenant))["algorithms"]

    assert "failed" == check.outcome
    assert expected in check.text


@pytest.mark.parametrize(
    ("ahead_s", "outcome", "text"),
    [
        (0.4, "ok", "within a second"),
        (-20.0, "ok", "20 s behind"),
        (45.0, "warning", "45 s ahead of"),
        (-45.0, "warning", "45 s behind"),
        (75.0, "failed", "75 s ahead of"),
        (None, "note", "cannot be seen"),
    ],
)
def test_clock(ahead_s: float | None, outcome: str, text: str) -> None:
    """A difference above half of `clock_skew_s` (60) warns, one above it fails."""
    tenant = TenantSettings(name="t1", issuer="https://op.example", client_ids=["c1"]).to_tenant()

    checks = check_op(OPFacts(tenant=tenant, metadata=None, jwks=None, ahead_s=ahead_s))

    check = next(check for check in checks if check.name == "clock")
    assert outcome == check.outcome
    assert text in check.text


@pytest.mark.parametrize(
    ("date", "age", "expected"),
    [
        ("Fri, 20 Nov 2026 12:00:10 GMT", None, 10.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", "3600", 0.0),
        ("soon", None, None),
        ("Fri, 20 Nov 2026 12:00:10 GMT", "old", None),
        (None, None, None),
    ],
)
def test_clock_from_the_date_header(date: str | None, age: str | None, expected: float | None) -> None:
    """`Date`, plus the `Age` a cache in between adds, is the OP's clock; anything odd is not."""
    assert expected == clock_ahead(date, age, NOW)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("https://op.example/t1", ""),
        ("https://op.example/t1/", "only a trailing slash differs: it has one"),
        ("https://OP.example/t1", "only upper and lower case differ"),
        (" https://op.example/t1", "only white space"),
        ("http://op.example/t1", 'only the scheme differs: "http"'),
        ("https://op.example:8443/t1", "the port differs"),
        ("https://www.op.example/t1", "the host differs"),
        ("https://op.example/t2", 'they differ from character 21: "2", configured "1"'),
        ("https://[", "they differ from character 9"),
        (None, "it is missing"),
        (7, "it is not a string"),
    ],
)
def test_difference_of_issuers(other: object, expected: str) -> None:
    """What differs is named in the words an operator needs."""
    assert difference("https://op.example/t1", other).startswith(expected)


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://login.microsoftonline.com/{tenantid}/v2.0", True),
        ("https://sts.windows.net/x/", True),
        ("https://x.ciamlogin.com/x/v2.0", True),
        ("https://login.microsoftonline.com.evil.example/", False),
        ("https://op.example", False),
    ],
)
def test_entra_is_known_by_its_host(issuer: str, *, expected: bool) -> None:
    """Microsoft's hosts are known whatever the preset."""
    assert expected == is_entra(issuer)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (18, "self-signed: set outbound.ca_file"),
        (10, "it has expired"),
        (9, "not valid yet: check the clock"),
        (62, "another host name"),
        (1, "refused: odd"),
    ],
)
def test_certificate_problems_in_words(code: int, expected: str) -> None:
    """Every usual way a certificate is refused says what to do, and none is to switch verification off."""
    error = ssl.SSLCertVerificationError(1, "refused")
    error.verify_code, error.verify_message = code, "odd"

    assert expected in explain_certificate(error)


async def test_untrusted_certificate(tmp_path: Path) -> None:
    """A self-signed OP is refused with what to set; with its certificate as CA it is reached."""
    certificate = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)

    async def metadata(_: web.Request) -> web.Response:
        return web.json_response({"issuer": "x"})

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", metadata)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    issuer = f"https://127.0.0.1:{runner.addresses[0][1]}"
    tenants = [{"name": "t1", "issuer": issuer, "client_ids": ["c1"]}]

    refused = await doctor.examine(Settings(tenants=tenants))
    trusted = await doctor.examine(Settings(tenants=tenants, outbound={"ca_file": certificate}))
    await runner.cleanup()

    check = next(check for check in refused if check.name == "discovery")
    assert "failed" == check.outcome
    assert "it is self-signed: set outbound.ca_file" in check.text
    assert "ok" == next(check for check in trusted if check.name == "discovery").outcome


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one PEM."""
    key = rsa_pair("tls").private
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "op.pem"
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


def test_host_that_does_not_resolve() -> None:
    """A name DNS does not know says so."""
    key = ConnectionKey("op.example", 443, True, True, None, None, None)
    error = FetchError("https://op.example/jwks: gaierror")
    error.__cause__ = aiohttp.ClientConnectorDNSError(key, OSError("unknown"))

    assert "https://op.example/jwks: its host name does not resolve here; check the issuer and DNS" == explain_failure(
        error
    )


async def test_hosts_that_do_not_answer(op: OP) -> None:
    """A host that refuses the connection, or speaks no TLS, says where to look."""
    down = [
        {"name": "refusing", "issuer": "https://127.0.0.1:1", "client_ids": ["c1"]},
        {"name": "plain", "issuer": op.issuer.replace("http:", "https:"), "client_ids": ["c1"]},
    ]

    checks = await doctor.examine(Settings(tenants=down))

    text = {check.area: check.text for check in checks if check.name == "discovery"}
    assert "check egress" in text["refusing"]
    assert "is this port TLS" in text["plain"]


async def test_command(command: Command, op: OP) -> None:
    """One line for each check, the fix on the line, the sum last; exit 1 as Redis is not there."""
    ran = await command("doctor", "--set", f"issuer={op.issuer}", "--set", "client_ids=c1")

    lines = ran.out.splitlines()
    assert (1, "") == (ran.code, ran.err)
    assert any(line.startswith("✓ main") and "equal letter by letter" in line for line in lines)
    assert all(line[0] in "✓✗!·" for line in lines[:-2])
    assert lines[-1].endswith("lines")


async def test_nothing_configured(command: Command) -> None:
    """With nothing configured, the missing tenants fail and the embedded Redis is explained."""
    ran = await command("doctor", "--json")

    assert 1 == ran.code
    assert {
        "passed": False,
        "checks": [
            {
                "area": "redis",
                "check": "reachable",
                "outcome": "warning",
                "text": "embedded: events live in a child process of `receiver serve` and end with it",
                "fix": "Set redis.url to the Redis your apps share.",
            },
            {
                "area": "tenants",
                "check": "configured",
                "outcome": "failed",
                "text": "none: every logout is refused",
                "fix": "Set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS, or tenants: in the file given by --config.",
            },
        ],
    } == ran.json


async def test_control_characters_of_an_op(command: Command, op: OP) -> None:
    """What an OP publishes cannot move the cursor."""
    op.metadata = {"issuer": "\x1b[2J"}
    op.keys.append(rsa_pair("\x1b[31m").published(use="enc\x07"))

    ran = await command("doctor", "--set", f"issuer={op.issuer}", "--set", "client_ids=c1")

    assert not set("\x1b\x07") & set(ran.out)

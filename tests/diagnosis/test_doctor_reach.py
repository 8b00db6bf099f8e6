"""`receiver doctor` on the way to an OP: issuers that differ, certificates, hosts."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from receiver.diagnosis import doctor
from receiver.diagnosis.issuers import difference, is_entra
from receiver.ops.settings import Settings
from receiver.outbound.unreachable import explain_certificate
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.op import OP


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


async def test_host_that_does_not_resolve() -> None:
    """A name DNS does not know says so."""
    [check] = [
        check
        for check in await doctor.examine(Settings(issuer="https://op.invalid", client_ids=["c1"]))
        if check.name == "discovery"
    ]

    assert "the host name op.invalid does not resolve here; check the issuer and DNS" in check.text


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

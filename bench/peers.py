"""Other receivers of logout tokens, started as their manuals set them up, where they are installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bench import processes, tokens
from bench.processes import Process
from receiver.bus.link.embedded import free_port
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

MODULES = Path("/usr/lib/apache2/modules")
"""Where Debian's packages apache2 and libapache2-mod-auth-openidc put them."""

EXPRESS = Path(__file__).parent / "express"
"""Needs `npm ci` once."""

_APACHE = """
ServerName 127.0.0.1
ServerRoot {directory}
PidFile {directory}/apache.pid
Listen 127.0.0.1:{port}
User www-data
Group www-data
ErrorLog {directory}/apache.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
# The generator keeps its connections; Apache's own limit of 100 requests would count against it.
MaxKeepAliveRequests 0
OIDCClientID c1
OIDCClientSecret secret
OIDCCryptoPassphrase passphrase
OIDCRedirectURI http://127.0.0.1:{port}/cb
OIDCIDTokenIatSlack 3600
OIDCCacheType redis
OIDCRedisCacheServer {redis}
<Location />
AuthType openid-connect
Require valid-user
</Location>
"""

_DEFAULTS = """
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCSSLValidateServer Off
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {directory}/access.log combined
LogLevel warn
StartServers 2
ThreadsPerChild 25
"""
"""As Debian sets Apache up, and its manual the module: the OP's metadata and keys are kept in Redis."""

_LEANEST = """
OIDCProviderIssuer {issuer}
OIDCProviderAuthorizationEndpoint https://op.invalid/authorize
OIDCProviderVerifyCertFiles {kid}#{directory}/op.pem
LogLevel crit
ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
OIDCCacheEncrypt Off
"""
"""One process, no access log, the OP's key in a file, and values in Redis as they are."""


@contextlib.contextmanager
def mod_auth_openidc(directory: Path, redis_url: str, issuer: str, settings: str) -> Iterator[Process]:
    """Apache with mod_auth_openidc, which keeps what it knows in Redis; `settings` is one of those above."""
    with tempfile.TemporaryDirectory(prefix="apache-", dir=directory) as name:
        (own := Path(name)).chmod(0o755)
        _certificate(own / "op.pem")
        port = free_port()
        (own / "apache.conf").write_text(
            (_APACHE + settings).format(
                directory=own, port=port, modules=MODULES, issuer=issuer, kid=tokens.KID,
                redis=urlsplit(redis_url).netloc,
            )
        )  # fmt: skip
        with processes.child(["apache2", "-DFOREGROUND", "-f", str(own / "apache.conf")], own / "out.log") as started:
            _answers(port)
            yield Process(started.pid, f"http://127.0.0.1:{port}/cb?logout=backchannel")


@contextlib.contextmanager
def express(directory: Path, redis_url: str, issuer: str) -> Iterator[Process]:
    """express-openid-connect in one process of Node, which notes logouts in Redis."""
    environment = os.environ | {"REDIS_URL": redis_url, "ISSUER": issuer, "NODE_ENV": "production"}
    with processes.running(
        ["node", str(EXPRESS / "server.js")], directory / "express.log", lambda line: line["url"], env=environment
    ) as process:
        yield process


def here(directory: Path, redis_url: str, issuer: str) -> Iterator[tuple[str, AbstractContextManager[Process]]]:
    """The peers that are installed, by name, each still to be started; the others are named on stderr."""
    if shutil.which("apache2") and (MODULES / "mod_auth_openidc.so").exists():
        for name, settings in (("mod_auth_openidc, defaults", _DEFAULTS), ("mod_auth_openidc, leanest", _LEANEST)):
            yield name, mod_auth_openidc(directory, redis_url, issuer, settings)
    else:
        print("not here: the packages apache2 and libapache2-mod-auth-openidc", file=sys.stderr)  # noqa: T201
    if shutil.which("node") and (EXPRESS / "node_modules").exists():
        yield "express-openid-connect", express(directory, redis_url, issuer)
    else:
        print("not here: node, or `npm ci` was not run in bench/express", file=sys.stderr)  # noqa: T201


def _certificate(file: Path) -> None:
    """The OP's key as a certificate, which spares Apache the key set over TLS."""
    key = rsa_pair(tokens.KID).private
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "op")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _answers(port: int) -> None:
    deadline = time.monotonic() + processes.START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("Apache did not start")

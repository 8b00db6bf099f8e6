"""A real Keycloak from Maven Central, with TLS on loopback, as a transmitter of security events."""

from __future__ import annotations

import html
import os
import re
import subprocess
import time
import zipfile
from typing import TYPE_CHECKING, Any

import requests

from demo.tls import make_certificates
from tests.support import needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "26.7.3"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"

DOWNLOAD_S = 400
"""Seconds the download may take, once for a machine."""

START_S = 600
"""Seconds the start may take; on an idle machine it takes half a minute, on one with load 23 it took six."""

CLIENT, SECRET = "portal", "portal-secret"

BACK = "https://localhost/back"
"""Where browsers are sent back to; nothing has to listen there."""


class Keycloak:
    """The server, and an administrator's calls."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self.base = f"https://localhost:{port}"
        self.ca_file = ca_file
        self.http = requests.Session()
        self.http.verify = str(ca_file)
        # CAs in the environment would be trusted in its place.
        self.http.trust_env = False

    def issuer(self, realm: str) -> str:
        """The realm's issuer."""
        return f"{self.base}/realms/{realm}"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the admin API; its JSON, if it has any."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        got = self.http.post(f"{self.issuer('master')}/protocol/openid-connect/token", data=form, timeout=60)
        headers = {"Authorization": f"Bearer {got.json()['access_token']}"}
        answer = self.http.request(method, f"{self.base}/admin/realms{path}", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def make_realm(self, realm: str, push_urls: str) -> None:
        """A realm that transmits to the client `portal` about all its users."""
        self.admin("POST", "", {"realm": realm, "enabled": True, "attributes": {"ssf.transmitterEnabled": "true"}})
        self.admin(
            "POST", f"/{realm}/clients",
            {
                "clientId": CLIENT, "secret": SECRET, "serviceAccountsEnabled": True, "publicClient": False,
                "redirectUris": [BACK],
                "attributes": {
                    "ssf.enabled": "true", "ssf.defaultSubjects": "ALL", "ssf.validPushUrls": push_urls,
                },
            },
        )  # fmt: skip
        [client] = self.admin("GET", f"/{realm}/clients?clientId={CLIENT}")
        for scope in self.admin("GET", f"/{realm}/client-scopes"):
            if scope["name"].startswith("ssf."):
                self.admin("PUT", f"/{realm}/clients/{client['id']}/optional-client-scopes/{scope['id']}")

    def make_watched_realm(self, realm: str) -> None:
        """A realm that keeps admin events, whose client `portal` may read them and the users."""
        self.admin("POST", "", {"realm": realm, "enabled": True, "adminEventsEnabled": True})
        client = {
            "clientId": CLIENT, "secret": SECRET, "serviceAccountsEnabled": True, "publicClient": False,
            "redirectUris": [BACK],
        }  # fmt: skip
        self.admin("POST", f"/{realm}/clients", client)
        [ours] = self.admin("GET", f"/{realm}/clients?clientId={CLIENT}")
        [management] = self.admin("GET", f"/{realm}/clients?clientId=realm-management")
        account = self.admin("GET", f"/{realm}/clients/{ours['id']}/service-account-user")
        needed_roles = {"view-events", "view-users"}
        roles = [
            role
            for role in self.admin("GET", f"/{realm}/clients/{management['id']}/roles")
            if role["name"] in needed_roles
        ]
        self.admin("POST", f"/{realm}/users/{account['id']}/role-mappings/clients/{management['id']}", roles)

    def make_realm_of_apps(self, realm: str) -> None:
        """A realm whose client `portal` is every app, anywhere, with the scope `orders.read` of their tokens."""
        self.admin("POST", "", {"realm": realm, "enabled": True})
        scope = {"name": "orders.read", "protocol": "openid-connect", "attributes": {"include.in.token.scope": "true"}}
        self.admin("POST", f"/{realm}/client-scopes", scope)
        client = {"clientId": CLIENT, "secret": SECRET, "publicClient": False, "redirectUris": ["*"]}
        self.admin("POST", f"/{realm}/clients", client)
        [ours] = self.admin("GET", f"/{realm}/clients?clientId={CLIENT}")
        [orders] = [one for one in self.admin("GET", f"/{realm}/client-scopes") if one["name"] == scope["name"]]
        self.admin("PUT", f"/{realm}/clients/{ours['id']}/optional-client-scopes/{orders['id']}")

    def tell_of_logouts(self, realm: str, url: str) -> None:
        """Have Keycloak post the client's logout tokens there."""
        [ours] = self.admin("GET", f"/{realm}/clients?clientId={CLIENT}")
        told = {"backchannel.logout.url": url, "backchannel.logout.session.required": "true"}
        changed = {**ours, "frontchannelLogout": False, "attributes": {**ours["attributes"], **told}}
        self.admin("PUT", f"/{realm}/clients/{ours['id']}", changed)

    def make_user(self, realm: str, name: str) -> str:
        """A user with their name as password; their `sub`."""
        body = {
            "username": name, "enabled": True, "email": f"{name}@example.com", "emailVerified": True,
            "firstName": name, "lastName": name, "credentials": [{"type": "password", "value": name}],
        }  # fmt: skip
        self.admin("POST", f"/{realm}/users", body)
        [user] = self.admin("GET", f"/{realm}/users?username={name}&exact=true")
        return str(user["id"])

    def sign_in(self, app: Any, name: str) -> None:
        """A user signs in to an app of MSAL's in a browser."""
        flow = app.initiate_auth_code_flow(["email"], redirect_uri=BACK, response_mode="form_post")
        with requests.Session() as browser:
            browser.verify, browser.trust_env = str(self.ca_file), False
            page = browser.get(flow["auth_uri"], timeout=60).text
            [action] = re.findall(r'<form id="kc-form-login"[^>]* action="([^"]+)"', page)
            form = {"username": name, "password": name}
            back = browser.post(html.unescape(action), data=form, allow_redirects=False, timeout=60).text
        answer = dict(re.findall(r'name="(\w+)" value="([^"]*)"', back, re.IGNORECASE))
        assert "access_token" in app.acquire_token_by_auth_code_flow(flow, answer)

    def log_out(self, realm: str, sub: str) -> None:
        """What an administrator does with "Sign out"."""
        self.admin("POST", f"/{realm}/users/{sub}/logout")


def running_keycloak(directory: Path, port: int, plain_port: int) -> Iterator[Keycloak]:
    """One server, in development mode, which listens without TLS as well."""
    needed.program("java", since=17)
    maven = needed.program("mvn")
    archive = directory / f"keycloak-quarkus-dist-{VERSION}.zip"
    subprocess.run(
        [maven, "-q", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={directory}"],
        check=True, timeout=DOWNLOAD_S,
    )  # fmt: skip
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(directory)
    archive.unlink()
    files = make_certificates(directory)
    home = directory / f"keycloak-{VERSION}"
    log = (directory / "keycloak.log").open("wb")
    server = subprocess.Popen(
        [
            "bash", str(home / "bin" / "kc.sh"), "start-dev", "--features=ssf", f"--https-port={port}",
            f"--http-port={plain_port}", f"--https-certificate-file={files.certificate_file}",
            f"--https-certificate-key-file={files.key_file}", f"--hostname=https://localhost:{port}",
            "--spi-ssf-transmitter--default--allow-insecure-push-targets=true",
            "--spi-ssf-transmitter--default--outbox-drainer-interval=1s",
            "--spi-ssf-transmitter--default--min-verification-interval-seconds=1",
        ],
        env={
            **os.environ, "KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin",
            # Its start is most of what these tests compute.
            "JAVA_OPTS_APPEND": "-Xmx700m -XX:TieredStopAtLevel=1",
        },
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    keycloak = Keycloak(port, files.ca_file)
    try:
        _wait(keycloak, server, directory / "keycloak.log")
        yield keycloak
    finally:
        server.terminate()
        server.wait(60)
        log.close()
        keycloak.http.close()


def _wait(keycloak: Keycloak, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            if keycloak.http.get(keycloak.issuer("master"), timeout=5).ok:
                return
        except requests.RequestException:
            pass
        assert server.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.5)

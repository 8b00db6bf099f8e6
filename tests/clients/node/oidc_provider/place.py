"""node-oidc-provider, a receiver it tells of logouts, an app that signs in there, and browsers that send its forms."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from demo import ports
from demo.tls import make_certificates
from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-of-the-tests"
"""For the receiver's API."""

TIMEOUT_S = 60
"""Seconds for an answer on a busy machine."""

MAX_STEPS = 20
"""Redirects and forms until a page of the app is there; more is a loop."""


@dataclass(frozen=True)
class Place:
    """Where all of it runs: addresses, and the CA of the OP."""

    issuer: str
    app_url: str
    api_url: str
    ca_file: Path

    def order(self, sub: str) -> None:
        """An operator ends the user's sessions in apps; the one at the OP goes on."""
        answer = requests.post(
            f"{self.api_url}/v1/evictions",
            json={"tenant": "main", "sub": sub},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=TIMEOUT_S,
        )
        assert answer.status_code == 202, answer.text


@contextlib.contextmanager
def running_place(op: Path, app: Path, directory: Path) -> Iterator[Place]:
    """Start it all; end it all.

    Args:
        op: Where node-oidc-provider is installed.
        app: Where `openid-client.mjs` and the packed listener are.
        directory: For logs, certificates and settings.
    """
    certificates = make_certificates(directory)
    port = ports.pick(["op", "app", "public", "internal"], stable=False)
    issuer, app_url = f"https://localhost:{port['op']}", f"http://127.0.0.1:{port['app']}"
    place = Place(issuer, app_url, f"http://127.0.0.1:{port['internal']}", certificates.ca_file)
    op_environment = {
        "PORT": str(port["op"]), "APP_URL": app_url, "KEY": str(certificates.key_file),
        "CERTIFICATE": str(certificates.certificate_file),
        "LOGOUT_URL": f"http://127.0.0.1:{port['public']}/backchannel-logout",
    }  # fmt: skip
    with (
        EmbeddedRedis() as redis,
        Program(["node", "op.mjs"], directory / "op.log", environment=op_environment, directory=op) as provider,
    ):
        provider.wait_for_line("startup")
        config = directory / "receiver.json"
        settings = {
            "public": {"host": "127.0.0.1", "port": port["public"]},
            "internal": {"host": "127.0.0.1", "port": port["internal"], "token": TOKEN},
            "redis": {"url": redis.url},
            "outbound": {"ca_file": str(certificates.ca_file)},
            "tenants": [{"name": "main", "issuer": issuer, "client_ids": ["portal"]}],
        }
        config.write_text(json.dumps(settings))
        serve = Program([sys.executable, "-m", "receiver", "serve", "--config", str(config)], directory / "serve.log")
        app_environment = {
            "ISSUER": issuer, "REDIS_URL": redis.url, "NODE_EXTRA_CA_CERTS": str(certificates.ca_file),
            "PORT": str(port["app"]), "API_URL": place.api_url, "API_TOKEN": TOKEN,
        }  # fmt: skip
        started = Program(
            ["node", "openid-client.mjs"], directory / "app.log", environment=app_environment, directory=app
        )
        with serve:
            serve.wait_for_line("startup")
            with started:
                started.wait_for_line("startup")
                yield place
                started.assert_running()
            serve.assert_running()
        provider.assert_running()


class Visitor:
    """A user's browser: follows redirects and sends the OP's forms. Use it with `with`."""

    def __init__(self, place: Place, user: str) -> None:
        self._place, self._user = place, user
        self._http = requests.Session()
        self._http.trust_env, self._http.verify = False, str(place.ca_file)
        self._http.headers["Accept"] = "text/html"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_in(self) -> bool:
        """Whether the app shows its page to the user, asked once and sent nowhere."""
        answer = self._http.get(self._place.app_url, timeout=TIMEOUT_S, allow_redirects=False)
        assert answer.status_code in {200, 302}, answer.text
        return answer.status_code == 200 and answer.json() == {"user": self._user}

    def sign_in(self) -> list[str | None]:
        """From the app to the OP and back; the `prompt` of each authentication request. A password is asked for."""
        asked, passwords = [], 0
        answer = self._http.get(self._place.app_url + "/sign-in", timeout=TIMEOUT_S, allow_redirects=False)
        for _ in range(MAX_STEPS):
            form = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            if "Location" in answer.headers:
                url = urljoin(answer.url, answer.headers["Location"])
                query = parse_qs(urlsplit(url).query)
                asked += [query.get("prompt", [None])[0]] if "client_id" in query else []
                answer = self._http.get(url, timeout=TIMEOUT_S, allow_redirects=False)
            elif form:
                passwords += 'name="password"' in answer.text
                # Its form for consent ignores what it does not know.
                [prompt] = re.findall(r'name="prompt" value="(\w+)"', answer.text)
                form_data = {"prompt": prompt, "login": self._user, "password": "any"}
                answer = self._http.post(
                    urljoin(answer.url, form[1]), form_data, timeout=TIMEOUT_S, allow_redirects=False
                )
            else:
                break
        assert passwords == 1, answer.text
        return asked

    def sign_out_at_the_op(self) -> None:
        """At its end_session_endpoint, which asks whether it is meant."""
        page = self._http.get(f"{self._place.issuer}/session/end", timeout=TIMEOUT_S)
        [action] = re.findall(r'<form[^>]* action="([^"]+)"', page.text)
        [xsrf] = re.findall(r'name="xsrf" value="([^"]+)"', page.text)
        answer = self._http.post(action, {"xsrf": xsrf, "logout": "yes"}, timeout=TIMEOUT_S)
        assert answer.ok, answer.text

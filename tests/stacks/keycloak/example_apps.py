"""The example apps, each started as its page says, and browsers that fill in Keycloak's login form."""

from __future__ import annotations

import contextlib
import html
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from tests.stacks.java.maven import classpath_of_example
from tests.stacks.java.portal import trust_store
from tests.stacks.keycloak.server import CLIENT, SECRET
from tests.stacks.node.rig import installed
from tests.stacks.program import Program
from tests.stacks.python.apps import COMMANDS, EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

START_S = 240.0
"""Seconds an app may take to start on a busy machine; the slowest takes 5 on a quiet one."""

TIMEOUT_S = 120
"""Seconds for an answer, also of a Keycloak that compiles its pages."""

MAX_STEPS = 20
"""Redirects, links and forms until a page of the app is there; more is a loop."""


@dataclass(frozen=True)
class Place:
    """Where an app runs, and with what.

    Attributes:
        directory: For its files; its own.
        port: Where it listens.
        issuer: Keycloak's realm.
        ca_file: The CA of Keycloak's certificate.
        redis_url: For tokens, sessions and the stream.
        api_url, api_token: Where sign-ins are registered.
    """

    directory: Path
    port: int
    issuer: str
    ca_file: Path
    redis_url: str
    api_url: str
    api_token: str


@dataclass(frozen=True)
class Started:
    """How an app is started.

    Attributes:
        page: A page for users who are signed in, as JSON; the user's name is one of its values.
        sign_in: Where a browser is sent to sign in.
        ready: Answers 200 or a redirect once the app serves.
    """

    command: list[str]
    directory: Path
    environment: Mapping[str, str]
    page: str = "/"
    sign_in: str = "/"
    ready: str = "/healthz"


def express(place: Place) -> Started:
    """`npm ci` and `npm start`, with the variables of its page."""
    environment = {
        "PORT": str(place.port), "AUTHORITY": place.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET,
        "SESSION_SECRET": "secret", "EXCLUDE_SCOPES": "offline_access", "REDIS_URL": place.redis_url,
        "RECEIVER_API_URL": place.api_url, "RECEIVER_API_TOKEN": place.api_token,
        "NODE_EXTRA_CA_CERTS": str(place.ca_file),
    }  # fmt: skip
    return Started(["node", "app.mjs"], installed("7"), environment, sign_in="/sign-in", ready="/")


def spring(place: Place) -> Started:
    """What `mvn spring-boot:run` starts, with the variables of its page."""
    trusted = trust_store(place.ca_file, place.directory)
    command = ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m", f"-Djavax.net.ssl.trustStore={trusted}"]
    command += ["-Djavax.net.ssl.trustStorePassword=changeit", "-cp", classpath_of_example()]
    command += ["com.example.portal.PortalApplication"]
    environment = {
        "PORT": str(place.port), "ISSUER": place.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET,
        "REDIS_URL": place.redis_url, "LOGOUT_LISTENER_API_URL": place.api_url,
        "LOGOUT_LISTENER_API_TOKEN": place.api_token,
    }  # fmt: skip
    return Started(command, place.directory, environment, page="/me", sign_in="/me", ready="/actuator/health")


def python(name: str) -> Callable[[Place], Started]:
    """One of the Python examples, with the line."""

    def started(place: Place) -> Started:
        environment = {
            "APP_URL": f"http://localhost:{place.port}", "REDIS_URL": place.redis_url,
            "LOGOUT_RECEIVER_REDIS_URL": place.redis_url, "SESSION_SECRET": "secret", "DJANGO_SECRET_KEY": "secret",
            "OIDC_ISSUER": place.issuer, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET,
            "EXCLUDE_SCOPES": "offline_access", "REQUESTS_CA_BUNDLE": str(place.ca_file),
        }  # fmt: skip
        arguments = [part.format(port=place.port) for part in COMMANDS[name]]
        return Started([sys.executable, *arguments], EXAMPLES / name, environment)

    return started


APPS: dict[str, Callable[[Place], Started]] = {
    "express": express, "spring": spring, "flask": python("flask"), "django": python("django"),
    "fastapi": python("fastapi"),
}  # fmt: skip


class App:
    """An example in a process of its own. Start it with `with`."""

    def __init__(self, name: str, place: Place) -> None:
        self.how = APPS[name](place)
        self.url = f"http://localhost:{place.port}"
        self.ca_file = place.ca_file
        self.program = Program(
            self.how.command, place.directory / f"{name}.log",
            environment=self.how.environment, directory=self.how.directory,
        )  # fmt: skip
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._running = self.program.started(self._serves, START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _serves(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(self.url + self.how.ready, timeout=TIMEOUT_S).ok
        return False


@dataclass
class Visit:
    """What a browser went through until it was back at the app.

    Attributes:
        asked: Parameters of each authentication request.
        passwords: How often Keycloak asked for one.
        answer: What the app showed in the end.
    """

    asked: list[dict[str, list[str]]] = field(default_factory=list)
    passwords: int = 0
    answer: requests.Response = field(default_factory=requests.Response)


class Browser:
    """A user's browser: it follows redirects and links to Keycloak, and fills in the login form. Close it."""

    def __init__(self, app: App, user: str) -> None:
        self._app = app
        self._user = user
        self._http = requests.Session()
        self._http.trust_env, self._http.verify = False, str(app.ca_file)
        self._http.headers["Accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"

    def is_in(self) -> bool:
        """Whether the app shows its page to the user, asked once and sent nowhere."""
        answer = self._get(self._app.url + self._app.how.page)
        assert answer.status_code < 500, self._app.program.output[-3000:]
        return _shows(answer, self._user)

    def sign_in(self) -> Visit:
        """From the app to Keycloak and back, through all pages between; ends signed in."""
        visit, url = Visit(), self._app.url + self._app.how.sign_in
        visit.answer = self._get(url)
        for _ in range(MAX_STEPS):
            answer = visit.answer
            form = re.search(r'<form id="kc-form-login"[^>]* action="([^"]+)"', answer.text)
            link = re.search(r'URL=(https://[^\'"]*/openid-connect/auth\?[^\'"]*)', answer.text)
            if "Location" in answer.headers:
                url = urljoin(url, answer.headers["Location"])
            elif form:
                visit.passwords += 1
                url = html.unescape(form[1])
                visit.answer = self._post(url, {"username": self._user, "password": self._user})
                continue
            elif link:
                url = html.unescape(link[1])
            else:
                break
            if "/openid-connect/auth?" in url:
                visit.asked.append(parse_qs(urlsplit(url).query))
            visit.answer = self._get(url)
        assert self.is_in(), (visit, visit.answer.text[-2000:], self._app.program.output[-30000:])
        return visit

    def sign_out_at(self, issuer: str) -> None:
        """Sign out at Keycloak itself, which asks whether it is meant."""
        page = self._get(f"{issuer}/protocol/openid-connect/logout")
        [action] = re.findall(r'<form[^>]* action="([^"]+logout-confirm[^"]*)"', page.text)
        hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        answer = self._post(urljoin(page.url, html.unescape(action)), hidden)
        assert answer.ok, answer.text

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _get(self, url: str) -> requests.Response:
        return self._http.get(url, timeout=TIMEOUT_S, allow_redirects=False)

    def _post(self, url: str, data: dict[str, str]) -> requests.Response:
        return self._http.post(url, data=data, timeout=TIMEOUT_S, allow_redirects=False)


def _shows(answer: requests.Response, user: str) -> bool:
    if answer.status_code != 200 or "json" not in answer.headers.get("Content-Type", ""):
        return False
    shown: dict[str, Any] = answer.json()
    return any(user in str(value) for value in shown.values())

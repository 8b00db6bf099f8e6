"""The example apps as child processes, and browsers in front of them."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from demo import ports
from tests.stacks.program import Program
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.stacks.op import StackOP
    from tests.stacks.python.world import World

EXAMPLES = Path(__file__).parents[3] / "examples" / "python"
TIMEOUT_S = 30
COMMANDS = {
    "flask": ["app.py"],
    "django": ["manage.py", "runserver", "--noreload", "{port}"],
    "fastapi": ["-m", "uvicorn", "--port", "{port}", "app:app"],
}


class App(Program):
    """One example app, with or without the line.

    Attributes:
        op: Its OP.
        prefix: What its keys in Redis begin with.
        url: Where it is served.
    """

    def __init__(self, name: str, world: World, op: StackOP, directory: Path, *, line: bool) -> None:
        port = ports.pick(["app"], stable=False)["app"]
        self.op = op
        self.name = name
        self.line = line
        self.prefix = f"{name}-{'line' if line else 'plain'}"
        self.url = f"http://localhost:{port}"
        environment = {
            "REDIS_URL": world.redis_url,
            "OIDC_ISSUER": op.issuer,
            "OIDC_CLIENT_ID": "portal",
            "OIDC_CLIENT_SECRET": "secret",
            "APP_URL": self.url,
            "SESSION_PREFIX": f"{self.prefix}:",
            "CACHE_PREFIX": self.prefix if name == "django" else f"{self.prefix}:",
            "SESSION_SECRET": "secret",
            "DJANGO_SECRET_KEY": "secret",
            "REQUESTS_CA_BUNDLE": str(world.ca_file),
            **({"LOGOUT_RECEIVER_REDIS_URL": world.redis_url, "EXCLUDE_SCOPES": "offline_access"} if line else {}),
        }
        super().__init__(
            [sys.executable, *(part.format(port=port) for part in COMMANDS[name])],
            directory / f"{self.prefix}.log",
            environment=environment,
            directory=EXAMPLES / name,
        )

    def wait(self) -> None:
        """Until it serves."""
        eventually(self._serves)

    def _serves(self) -> bool:
        self.assert_running()
        try:
            with requests.Session() as http:
                http.trust_env = False
                return http.get(f"{self.url}/healthz", timeout=TIMEOUT_S).ok
        except requests.ConnectionError:
            return False


class Browser:
    """A user's browser in front of one app. Use it with `with`."""

    def __init__(self, app: App, user: str) -> None:
        self.user = user
        self._app = app
        self._http = requests.Session()
        self._http.trust_env = False

    def sign_in(self) -> None:
        """Follow the app to the OP and back; the OP knows the user and asks nothing."""
        self._http.get(self._to_the_app(self._app.op.answer(self._to_the_op(), self.user)), timeout=TIMEOUT_S)

    def forget_cookies(self) -> None:
        """Be a browser that was never here."""
        self._http.cookies.clear()

    def asks_for(self) -> list[str]:
        """The scopes of the app's authorization request."""
        return parse_qs(urlsplit(self._to_the_op()).query)["scope"][0].split(" ")

    def page(self, path: str) -> requests.Response:
        """One page, as answered."""
        return self._http.get(self._app.url + path, timeout=TIMEOUT_S, allow_redirects=False)

    def orders(self) -> dict[str, Any] | None:
        """What the page with the silent token call shows; None when the user has to sign in."""
        answer = self.page("/")
        assert answer.status_code < 500, self._app.output
        shown = answer.status_code == 200 and "json" in answer.headers["Content-Type"]
        return answer.json() if shown else None

    def is_signed_in(self) -> bool:
        """Whether the silent token call works, and is the user's."""
        shown = self.orders()
        assert shown is None or shown["user"] == self.user
        return shown is not None

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _to_the_op(self) -> str:
        url = f"{self._app.url}/"
        while True:
            answer = self._http.get(url, timeout=TIMEOUT_S, allow_redirects=False)
            found = re.search(r"https://localhost:\d+/[^\s'\"<>]*authorize\?[^\s'\"<>]*", html.unescape(answer.text))
            target = answer.headers.get("Location", found[0] if found else "")
            assert target, (answer.status_code, answer.text)
            url = urljoin(url, target)
            if "/authorize?" in url:
                return url

    def _to_the_app(self, url: str) -> str:
        assert url.startswith(self._app.url)
        return url

"""The example app as a child process, browsers in front of it, and the driver of a client object that lives on."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.stacks.node.rig import DEADLINE_S, Child, World, installed
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stacks.node.variants import Variant

_numbers = itertools.count()


class NodeApp(Child):
    """The example app.

    Args:
        world: Where it lives.
        log: File for its output.
        variant: How it is run.

    Attributes:
        op: Where it signs in.
        asks_for_offline_access: MSAL's own way; the app was not told to leave the scope out.
        tokens, sessions: What its keys in Redis begin with.
        looked_at_until_s: Seconds after a logout by which everybody has looked again.
    """

    def __init__(self, world: World, log: Path, variant: Variant) -> None:
        self.op = world.ops[variant.shape]
        self.asks_for_offline_access = not variant.piece
        self.tokens = f"{variant.name}:msal:"
        self.sessions = f"{variant.name}:sess:"
        # The evictor looks again after 2 s; what the app itself does, it does at once.
        self.looked_at_until_s = 2.6 if variant.evictor else 0.3
        environment = {
            **world.of(variant.shape),
            "CLIENT_SECRET": "secret",
            "SESSION_SECRET": "secret",
            "PORT": "0",
            "EXCLUDE_SCOPES": "offline_access" if variant.piece else "",
            "TOKEN_PREFIX": self.tokens,
            "SESSION_PREFIX": self.sessions,
            **({} if variant.piece else {"LOGOUT_RECEIVER": "off"}),
        }
        super().__init__(["node", "app.mjs"], log, directory=installed(variant.version), environment=environment)
        self.url = f"http://localhost:{self.line_with('listening on').split()[-1]}"


class Browser:
    """A user's browser in front of the app; the OP knows the user and asks nothing."""

    def __init__(self, app: NodeApp, user: str) -> None:
        self._app = app
        self._user = user
        self._http = requests.Session()
        self._http.trust_env = False
        self.sign_in()

    def sign_in(self) -> None:
        """To the OP and back; leaves the user signed in."""
        to_op = self._http.get(f"{self._app.url}/sign-in", allow_redirects=False, timeout=DEADLINE_S)
        asked_for = parse_qs(urlsplit(to_op.headers["Location"]).query)["scope"][0].split(" ")
        assert self._app.asks_for_offline_access == ("offline_access" in asked_for)
        back = self._http.get(self._app.op.answer(to_op.headers["Location"], self._user), timeout=DEADLINE_S)
        assert back.json() == {"user": f"{self._user}@example.com"}

    @property
    def session_id(self) -> str:
        """Names the session in the store."""
        return self._http.cookies["connect.sid"].removeprefix("s%3A").partition(".")[0]

    def has_token(self) -> bool:
        """Whether the silent token call works."""
        answer = self._http.get(f"{self._app.url}/token", timeout=DEADLINE_S)
        assert answer.status_code in {200, 401}, answer.text
        assert answer.status_code == 401 or answer.json()["user"] == f"{self._user}@example.com"
        return answer.status_code == 200

    def has_session(self) -> bool:
        """Whether the app knows the user, tokens or not."""
        answer = self._http.get(f"{self._app.url}/", timeout=DEADLINE_S)
        return answer.status_code == 200 and answer.json()["user"] is not None

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


class Driver(Child):
    """One client object for all users; see driver.mjs."""

    def __init__(self, world: World, log: Path, variant: Variant) -> None:
        self.op = world.ops[variant.shape]
        self.tokens = f"shared-{variant.name}:msal:"
        piece = {"PIECE": "1"} if variant.piece else {}
        environment = {**world.of(variant.shape), "TOKEN_PREFIX": self.tokens, **piece}
        super().__init__(["node", "driver.mjs"], log, directory=installed(variant.version), environment=environment)

    def call(self, call: str, **given: Any) -> dict[str, Any]:
        """One call, as answered; `error` holds MSAL's error code."""
        number = next(_numbers)
        self.send(json.dumps({"id": number, "call": call, **given}))

        def answer() -> dict[str, Any] | None:
            answers = (json.loads(line) for line in self.lines() if line.startswith('{"id"'))
            return next((found for found in answers if found["id"] == number), None)

        return eventually(answer)

    def sign_in(self, user: str) -> str:
        """The account the user then has."""
        return str(self.call("redeem", code=self.op.code(user, "shop"))["account"])

    def in_memory(self) -> set[str]:
        """The accounts the client object holds."""
        return set(self.call("inMemory")["accounts"])

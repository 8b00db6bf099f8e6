"""The example app of each stack at a real Keycloak: in, signed out there, refused; ordered out, asked, and in again."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from demo import ports
from receiver.bus.link.embedded import EmbeddedRedis
from tests.stacks.keycloak.example_apps import APPS, App, Browser, Place
from tests.stacks.keycloak.server import CLIENT, Keycloak
from tests.stacks.program import Program
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = [pytest.mark.java, pytest.mark.node, pytest.mark.timeout(900)]

REALM = "apps"
TOKEN = "a-token-of-the-tests"
"""For the receiver's API."""


@dataclass(frozen=True)
class World:
    """A realm whose client tells a receiver of logouts, and a Redis."""

    keycloak: Keycloak
    redis_url: str
    api_url: str

    @property
    def issuer(self) -> str:
        """Of the realm."""
        return self.keycloak.issuer(REALM)

    def order(self, sub: str) -> None:
        """An operator ends the user's sessions in apps; the one at Keycloak goes on."""
        order = {"tenant": "main", "sub": sub}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.post(f"{self.api_url}/v1/evictions", json=order, headers=headers, timeout=60)
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def world(keycloak: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The receiver is `receiver serve`; Keycloak posts logout tokens to it."""
    directory = tmp_path_factory.mktemp("apps")
    keycloak.make_realm_of_apps(REALM)
    with EmbeddedRedis() as redis:
        settings: dict[str, Any] = {
            "public": {"host": "127.0.0.1", "port": 0},
            "internal": {"host": "127.0.0.1", "port": 0, "token": TOKEN},
            "redis": {"url": redis.url},
            "outbound": {"ca_file": str(keycloak.ca_file), "timeout_s": 20},
            "tenants": [
                {
                    "name": "main", "issuer": keycloak.issuer(REALM), "client_ids": [CLIENT], "preset": "keycloak",
                    "require_exp": True,
                },
            ],
        }  # fmt: skip
        config = directory / "receiver.json"
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "receiver", "serve", "--config", str(config)]
        with Program(command, directory / "serve.log") as serve:
            startup = serve.wait_for_line("startup")
            keycloak.tell_of_logouts(REALM, f"http://{startup['public']}/backchannel-logout")
            yield World(keycloak, redis.url, f"http://{startup['internal']}")
            serve.assert_running()


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[App]:
    """Each example, one at a time."""
    place = Place(
        tmp_path, ports.pick(["app"], stable=False)["app"], world.issuer, world.keycloak.ca_file, world.redis_url,
        world.api_url, TOKEN,
    )  # fmt: skip
    with App(request.param, place) as running:
        yield running


@pytest.fixture
def browse(app: App) -> Iterator[Callable[[str], Browser]]:
    """A user's browser, closed with the test."""
    with contextlib.ExitStack() as browsers:

        def begin(user: str) -> Browser:
            browser = Browser(app, user)
            browsers.callback(browser.close)
            return browser

        yield begin


def test_signed_out_at_keycloak_and_ordered_out(
    world: World, browse: Callable[[str], Browser], request: pytest.FixtureRequest
) -> None:
    """Alice is refused at the next request both times, and is in again after a password; Bob stays in."""
    names = [f"{name}-{request.node.callspec.id}" for name in ("alice", "bob")]
    sub, _ = (world.keycloak.make_user(REALM, name) for name in names)
    alice, bob = (browse(name) for name in names)
    for browser in (alice, bob):
        visit = browser.sign_in()
        assert (1, 1) == (len(visit.asked), visit.passwords)
        assert "prompt" not in visit.asked[0]

    alice.sign_out_at(world.issuer)
    eventually(lambda: not alice.is_in())
    assert bob.is_in()
    assert 1 == alice.sign_in().passwords

    world.order(sub)
    eventually(lambda: not alice.is_in())
    assert bob.is_in()
    visit = alice.sign_in()
    assert ["login"] == visit.asked[-1]["prompt"]
    assert (1, 1) == (len(visit.asked), visit.passwords)

"""The Spring Boot starter: an app with nothing but oauth2Login, signed out at its OP, with each Spring Boot."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from receiver.bus.link.embedded import free_port
from tests.stacks.java.maven import SPRING_BOOTS, classpath_with
from tests.stacks.java.portal import START_S, trust_store
from tests.stacks.java.world import TOKEN, World, running_world
from tests.stacks.program import Program
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.java, pytest.mark.timeout(450), pytest.mark.usefixtures("modules")]

APP = Path(__file__).parent / "shop"
AT_ONCE = 10
"""Requests of one session."""

PAGE = {"Accept": "text/html, */*;q=0.8"}


class Shop:
    """The app in a process of its own, and browsers. Start it with `with`."""

    def __init__(self, spring_boot: str, world: World, directory: Path) -> None:
        self.world, self.op, self.spring_boot = world, world.ops["oidc"], spring_boot
        port = free_port()
        self.url = f"http://localhost:{port}"
        oauth2 = "--spring.security.oauth2.client"
        command = ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m"]
        command += [f"-Djavax.net.ssl.trustStore={trust_store(self.op.ca_file, directory)}"]
        command += ["-Djavax.net.ssl.trustStorePassword=changeit", "-cp"]
        command += [classpath_with(APP, spring_boot), "com.example.shop.ShopApplication", f"--server.port={port}"]
        command += ["--spring.application.name=shop", f"--spring.data.redis.url={world.redis_url}"]
        command += [f"{oauth2}.registration.op.client-id=portal", f"{oauth2}.registration.op.client-secret=secret"]
        command += [f"{oauth2}.registration.op.scope=openid", f"{oauth2}.provider.op.issuer-uri={self.op.issuer}"]
        command += ["--management.endpoint.health.show-details=always"]
        command += ["--management.endpoints.web.exposure.include=health,metrics"]
        command += [f"--logout-listener.api-url={world.api_url}", f"--logout-listener.api-token={TOKEN}"]
        self._program = Program(command, directory / "shop.log")

    def __enter__(self) -> Self:
        self._running = self._program.started(self._answers, START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _answers(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(self.url + "/me", headers=PAGE, timeout=10, allow_redirects=False).status_code == 302
        return False

    def get(self, browser: requests.Session, path: str) -> requests.Response:
        """A page, redirects not followed."""
        there = path if path.startswith("http") else self.url + path
        return browser.get(there, headers=PAGE, timeout=30, allow_redirects=False)

    def sign_in(self, browser: requests.Session, user: str) -> dict[str, list[str]]:
        """Through the OP and back; what the authentication request said."""
        to_op = self.get(browser, self.get(browser, "/me").headers["Location"]).headers["Location"]
        back = self.get(browser, self.op.answer(to_op, user))
        assert back.status_code == 302, back.text
        return parse_qs(urlsplit(to_op).query)


@pytest.fixture(scope="module", params=SPRING_BOOTS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The app, a receiver and an OP."""
    directory = tmp_path_factory.mktemp("spring")
    for world in running_world(directory, evictor=False):
        with Shop(request.param, world, directory) as running:
            yield running


@pytest.fixture
def browsers() -> Iterator[tuple[requests.Session, requests.Session]]:
    """Alice's and Bob's."""
    with requests.Session() as alice, requests.Session() as bob:
        for browser in (alice, bob):
            browser.trust_env = False
        yield alice, bob


def test_a_logout_ends_the_session_and_the_way_back_asks_for_a_password(
    shop: Shop, browsers: tuple[requests.Session, requests.Session]
) -> None:
    """Alice is sent to sign in, with `prompt=login`, and is in again; Bob notices nothing."""
    alice, bob = browsers
    first = shop.sign_in(alice, "alice")
    shop.sign_in(bob, "bob")
    assert [200, 200] == [shop.get(browser, "/me").status_code for browser in browsers]
    assert ("86400", None) == (first["max_age"][0], first.get("prompt"))

    shop.world.logout(shop.op, "alice")

    eventually(lambda: shop.get(alice, "/me").status_code == 302)
    assert 200 == shop.get(bob, "/me").status_code
    assert ["login"] == shop.sign_in(alice, "alice")["prompt"]
    assert 200 == shop.get(alice, "/me").status_code


def test_requests_at_once_of_an_ended_session_are_all_refused(
    shop: Shop, browsers: tuple[requests.Session, requests.Session]
) -> None:
    """A page with many parts: each is sent to sign in, also where another one has just ended the session."""
    frank, grace = browsers
    shop.sign_in(frank, "frank")
    shop.sign_in(grace, "grace")
    for user in ("frank", "grace"):
        shop.world.logout(shop.op, user)
    eventually(lambda: shop.get(grace, "/me").status_code == 302)
    begin = threading.Barrier(AT_ONCE)

    def get(_: int) -> int:
        with requests.Session() as connection:
            connection.trust_env = False
            connection.cookies.update(frank.cookies)
            begin.wait()
            return shop.get(connection, "/me").status_code

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert AT_ONCE * [302] == list(threads.map(get, range(AT_ONCE)))


def test_an_ended_session_is_refused_in_an_error_page_too(
    shop: Shop, browsers: tuple[requests.Session, requests.Session]
) -> None:
    """The firewall refuses an address before the filters run: the error page is the first they see of that request."""
    henry, _ = browsers
    shop.sign_in(henry, "henry")
    assert 400 == shop.get(henry, "/me//").status_code

    shop.world.logout(shop.op, "henry")

    eventually(lambda: shop.get(henry, "/me//").status_code == 302)


def test_a_second_refusal_in_a_row_sends_nowhere(
    shop: Shop, browsers: tuple[requests.Session, requests.Session]
) -> None:
    """Signed out again before the first request of the new session: a page, and no redirect."""
    carol, witness = browsers
    shop.sign_in(carol, "carol")
    shop.world.logout(shop.op, "carol")
    eventually(lambda: shop.get(carol, "/me").status_code == 302)
    shop.sign_in(carol, "carol")
    shop.sign_in(witness, "witness")

    # The OP dates a new session a second after the logout before it.
    for user in ("carol", "witness"):
        shop.world.logout(shop.op, user, iat=int(time.time()) + 5)
    eventually(lambda: shop.get(witness, "/me").status_code == 302)

    assert 401 == shop.get(carol, "/me").status_code
    assert 302 == shop.get(carol, "/me").status_code


def test_after_an_order_a_user_is_in_again_at_once(
    shop: Shop, browsers: tuple[requests.Session, requests.Session]
) -> None:
    """The OP's own session goes on, with the old `auth_time`: what answers `prompt=login` is registered as anew."""
    erin, _ = browsers
    shop.sign_in(erin, "erin")
    shop.world.order(shop.op.sub("erin", "portal"))
    eventually(lambda: shop.get(erin, "/me").status_code == 302)

    shop.sign_in(erin, "erin")

    assert 200 == shop.get(erin, "/me").status_code


def test_health_and_metrics(shop: Shop, browsers: tuple[requests.Session, requests.Session]) -> None:
    """The actuator shows that it hears."""
    dora, _ = browsers
    shop.sign_in(dora, "dora")

    health = shop.get(dora, "/actuator/health").json()
    metric = shop.get(dora, "/actuator/metrics/logout.listener.hears").json()

    assert "UP" == health["components"]["logoutListener"]["status"]
    assert 1 == metric["measurements"][0]["value"]


def test_an_app_that_stops_says_goodbye(shop: Shop, tmp_path: Path) -> None:
    """Before Spring takes its Redis client away: no alarm tells of a process that is deaf."""

    def listening() -> set[object]:
        return set(shop.world.redis.zrange("{logout}:instances", 0, -1))

    others = listening()
    with Shop(shop.spring_boot, shop.world, tmp_path):
        eventually(lambda: len(listening()) > len(others))
    assert others == listening()

"""The example app in a process of its own, and browsers."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import requests

from receiver.bus.link.embedded import free_port
from tests.stacks.java.maven import classpath_of_example, classpath_of_example_on_3
from tests.stacks.program import Program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stacks.java.world import World
    from tests.stacks.op import StackOP


START_S = 150.0
"""Seconds Spring Boot may take to start on a busy machine; it takes 4 on a quiet one."""


class Portal:
    """The app, started with `with`.

    Args:
        name: Namespace of its sessions and beginning of the keys of its tokens.
        shape: Of its OP: `entra`, or `oidc`, for which msal4j has no accounts.
        hears: Whether it hears of sign-outs; else it runs without the listener.
        evicted: Whether there is an evictor.
        spring_boot_3: Whether it runs on Spring Boot 3.5; else on the version its project names.
    """

    def __init__(
        self,
        name: str,
        world: World,
        directory: Path,
        *,
        shape: str = "entra",
        hears: bool,
        evicted: bool,
        spring_boot_3: bool = False,
    ) -> None:
        self.name = name
        self.is_evicted = evicted
        self.world = world
        self.op: StackOP = world.ops[shape]
        port = free_port()
        self.url = f"http://localhost:{port}"
        self._program = Program(
            [
                "java",
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                f"-Djavax.net.ssl.trustStore={trust_store(self.op.ca_file, directory)}",
                "-Djavax.net.ssl.trustStorePassword=changeit",
                "-cp",
                classpath_of_example_on_3() if spring_boot_3 else classpath_of_example(),
                "com.example.portal.PortalApplication",
            ],
            directory / "portal.log",
            environment={
                "REDIS_URL": world.redis_url,
                "ISSUER": self.op.issuer,
                "ENTRA": str(shape == "entra").lower(),
                "CLIENT_SECRET": "secret",
                "API_SCOPES": "orders.read",
                "PORT": str(port),
                f"SPRING_SESSION_{'' if spring_boot_3 else 'DATA_'}REDIS_NAMESPACE": name,
                "TOKENS_PREFIX": f"{name}:msal:",
                "SIGNOUT_ENABLED": str(hears).lower(),
            },
        )

    def sessions(self) -> set[str]:
        """The keys of its sessions."""
        return self.world.keys(f"{self.name}:sessions:*")

    def holds_tokens_of(self, user: str) -> bool:
        """Whether some of its token caches has the user's ID token."""
        sub = self.op.sub(user, "portal")
        blobs = map(self.world.blob, self.world.keys(f"{self.name}:msal:*"))
        return any(sub == sub_of(entry["secret"]) for blob in blobs for entry in blob.get("IdToken", {}).values())

    def __enter__(self) -> Self:
        self._running = self._program.started(self._serves, START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _serves(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(self.url + "/actuator/health", timeout=10).status_code == 200
        return False


class Browser:
    """A browser with its cookies, closed with `close`."""

    def __init__(self, portal: Portal, user: str) -> None:
        self._portal = portal
        self._user = user
        self._http = requests.Session()
        self._http.trust_env = False
        self._background = ThreadPoolExecutor(1)

    def sign_in(self) -> None:
        """Through the OP and back."""
        start = urlsplit(self.get("/me", Accept="text/html").headers["Location"])
        there = self.get(start.path).headers["Location"]
        back = urlsplit(self._portal.op.answer(there, self._user))
        answer = self.get(f"{back.path}?{back.query}")
        assert answer.status_code == 302, answer.text
        assert self.is_signed_in()

    def get(self, path: str, **headers: str) -> requests.Response:
        """A request, redirects not followed."""
        return self._http.get(self._portal.url + path, headers=headers, timeout=30, allow_redirects=False)

    def is_signed_in(self) -> bool:
        """Whether the app knows who this is.

        Beside the evictor a request may break off that was in flight while its session was deleted (LAYOUT.md): that
        does not count as signed out. Without it every answer has to be a yes or a no.
        """
        try:
            status = self.get("/me").status_code
        except requests.RequestException:
            status = 0
        assert status in {200, 302} or self._portal.is_evicted
        return status != 302

    def token(self) -> str | None:
        """The token a request gets silently."""
        answer = self.get("/orders")
        return str(answer.json()["token"]) if answer.status_code == 200 else None

    def begin_refresh(self) -> Future[requests.Response]:
        """A request that refreshes the token and changes the session, not waited for."""
        return self._background.submit(self.get, "/orders?refresh=true")

    def close(self) -> None:
        """End what is open."""
        self._background.shutdown()
        self._http.close()


def sub_of(id_token: str) -> str:
    """Whose it is."""
    return str(json.loads(base64.urlsafe_b64decode(id_token.split(".")[1] + "=="))["sub"])


def trust_store(ca_file: Path, directory: Path) -> Path:
    """A PKCS #12 store (password `changeit`) with this CA alone."""
    store = directory / "trust.p12"
    command = ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", str(ca_file)]
    command += ["-keystore", str(store), "-storetype", "PKCS12", "-storepass", "changeit"]
    subprocess.run(command, check=True, capture_output=True)
    return store

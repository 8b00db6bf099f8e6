"""Everything the demo runs: Redis, the OP, the receiver and two web apps, each its own process on loopback.

The receiver is started as a user would start it, `receiver serve --config FILE`. Only processes started here
are ended here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis
import requests
import yaml

from demo import ports
from demo.settings import AppSettings, OPSettings, PageSettings
from demo.tls import make_certificates
from receiver.bus.link.embedded import EmbeddedRedis

APPS = ("portal", "orders")
USERS = {"alice": "wonderland", "bob": "builder"}
SUBS = {"alice": "a1-7f3c9e", "bob": "b2-40d81a"}
"""The OP's `sub` is not the username, as at most OPs."""

START_TIMEOUT_S = 60.0
"""Seconds all parts together have to come up; a slow laptop needs five."""

READY_TIMEOUT_S = 2.0
"""Seconds one readiness question may take."""

STOP_TIMEOUT_S = 5.0
"""Seconds a part has to end after SIGTERM before it is killed."""


class StageError(Exception):
    """A part of the demo did not come up; the message says which and ends with its log."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ready_url: str


class Stage:
    """The running demo, as a context manager.

    Args:
        stable_ports: Prefer the same ports at every run (8100 upwards).
        subscribe: False leaves out the apps' subscribers.

    Attributes:
        redis: Client of the demo's Redis, valid inside the context.
        urls: Addresses a person may open: `timeline`, `portal`, `orders`.
        sign_out_url: The OP's end_session_endpoint.
        users: Username to password.
        receiver_url: Where the OP posts logout tokens.
        issuer: The OP's issuer.
        directory: Settings and logs of the parts; removed at the end.
    """

    redis: redis.Redis
    directory: Path

    def __init__(self, *, stable_ports: bool, subscribe: bool = True) -> None:
        self._subscribe = subscribe
        self._ports = ports.pick(
            ["timeline", *APPS, "op_pages", "op_https", "receiver", "internal"], stable=stable_ports
        )
        self.users = USERS
        self._resources = contextlib.ExitStack()
        self._parts: list[_Part] = []
        self.urls = {name: f"http://localhost:{self._ports[name]}" for name in ("timeline", *APPS)}
        self.issuer = f"https://localhost:{self._ports['op_https']}/demo"
        self.receiver_url = f"http://127.0.0.1:{self._ports['receiver']}/backchannel-logout"
        self.sign_out_url = f"http://localhost:{self._ports['op_pages']}/logout"

    def __enter__(self) -> Self:
        with self._resources:
            directory = self._resources.enter_context(
                tempfile.TemporaryDirectory(prefix="logout-receiver-demo-", ignore_cleanup_errors=True)
            )
            self.directory = Path(directory)
            server = self._resources.enter_context(EmbeddedRedis())
            self.redis = self._resources.enter_context(redis.Redis.from_url(server.url))
            self._resources.callback(self._stop)
            self._start(server.url)
            self._wait_until_ready()
            self._resources = self._resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def ended_part(self) -> str | None:
        """The name of a part that ended by itself, if one did."""
        return next((part.name for part in self._parts if part.process.poll() is not None), None)

    def logs(self) -> str:
        """The end of every part's log, for when something went wrong."""
        return "\n".join(f"--- {part.name}\n{_tail(part.log)}" for part in self._parts)

    def _start(self, redis_url: str) -> None:
        certificates = make_certificates(self.directory)
        client_secrets = {app: secrets.token_urlsafe(24) for app in APPS}
        OPSettings(
            issuer=self.issuer,
            https_port=self._ports["op_https"],
            http_port=self._ports["op_pages"],
            certificate_file=str(certificates.certificate_file),
            key_file=str(certificates.key_file),
            redis_url=redis_url,
            clients=[
                {
                    "client_id": app,
                    "client_secret": client_secrets[app],
                    "redirect_uri": f"{self.urls[app]}/callback",
                    "backchannel_logout_uri": self.receiver_url,
                    "home_uri": self.urls[app],
                }
                for app in APPS
            ],
            users=[
                {"username": username, "password": password, "sub": SUBS[username]}
                for username, password in USERS.items()
            ],
        ).write(self.directory / "op.json")
        links = {
            "timeline": self.urls["timeline"],
            **{app: self.urls[app] for app in APPS},
            "sign out": self.sign_out_url,
        }
        for app in APPS:
            AppSettings(
                name=app,
                port=self._ports[app],
                client_secret=client_secrets[app],
                issuer=self.issuer,
                ca_file=str(certificates.ca_file),
                redis_url=redis_url,
                subscribe=self._subscribe,
                links={label: address for label, address in links.items() if label not in {app, "sign out"}},
            ).write(self.directory / f"{app}.json")
        PageSettings(
            port=self._ports["timeline"],
            redis_url=redis_url,
            links={label: address for label, address in links.items() if label != "timeline"},
            users=USERS,
        ).write(self.directory / "timeline.json")
        receiver_config = self.directory / "receiver.yaml"
        receiver_config.write_text(
            yaml.safe_dump(
                {
                    "public": {"host": "127.0.0.1", "port": self._ports["receiver"]},
                    "internal": {"host": "127.0.0.1", "port": self._ports["internal"]},
                    "redis": {"url": redis_url},
                    "outbound": {"ca_file": str(certificates.ca_file)},
                    "tenants": [{"name": "demo", "issuer": self.issuer, "client_ids": list(APPS)}],
                },
                sort_keys=False,
            )
        )
        self._launch("OP", f"{self.issuer}/jwks", "demo.op", "--settings", str(self.directory / "op.json"))
        # A receiver that does not reach it asks for its keys again only after a pause, and the story goes on sooner.
        self._wait_until_ready()
        self._launch(
            "receiver",
            f"http://127.0.0.1:{self._ports['internal']}/readyz",
            *("receiver", "serve", "--config", str(receiver_config)),
        )
        self._launch_page("timeline", "demo.timeline_page", "/timeline.json")
        for app in APPS:
            self._launch_page(app, "demo.webapp", "/healthz")

    def _launch_page(self, name: str, module: str, ready_path: str) -> None:
        settings = str(self.directory / f"{name}.json")
        self._launch(name, self.urls[name] + ready_path, module, "--settings", settings)

    def _launch(self, name: str, ready_url: str, module: str, *arguments: str) -> None:
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # the argument list is ours
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                # Where `python -m` finds this package: it is not installed.
                cwd=Path(__file__).parents[1],
                # Ctrl-C at the terminal must reach this process only, which then ends the others in order.
                start_new_session=True,
            )
        self._parts.append(_Part(name, process, log, ready_url))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        for part in self._parts:
            while not self._answers(part.ready_url):
                ended = part.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    what = "ended at its start" if ended else "did not come up in time"
                    raise StageError(f"the {part.name} process {what}:\n{_tail(part.log)}")
                time.sleep(0.05)

    def _answers(self, url: str) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(url, verify=str(self.directory / "ca.pem"), timeout=READY_TIMEOUT_S).ok
        except requests.RequestException:
            return False

    def _stop(self) -> None:
        for part in reversed(self._parts):
            part.process.terminate()
        for part in self._parts:
            try:
                part.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()


def _environment() -> dict[str, str]:
    """This person's environment, less what would come between the parts of the demo.

    The receiver's own settings would go before the file written here. A CA bundle set for a company's proxy
    would be used in place of the demo's CA, and the proxy itself cannot reach this machine's loopback.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RECEIVER_") and name not in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    }
    return {**kept, "NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}


def _tail(log: Path, *, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

"""What `helm test` runs, against a release that is good or bad."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from rendered import (
    MINIMAL,
    Object,
    Render,
    of_kind,
    values_of,
)


class FakeRelease(BaseHTTPRequestHandler):
    """Answers like an installed release, apart from what a test changes."""

    answers: dict[str, tuple[int, str | None]]
    ready: ClassVar[Object] = {"tenants": {"configured": 2, "without_keys": 0}, "keys": {}}
    metrics = b'logout_canary_probes_total{result="ok"} 1.0\nlogout_canary_probes_total{result="not_heard"} 3.0\n'

    def do_GET(self) -> None:
        """Answer any request to a path as the test says."""
        status, cache_control = self.answers[self.path]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        if cache_control:
            self.send_header("Cache-Control", cache_control)
        bodies = {"/metrics": self.metrics, "/readyz": json.dumps(self.ready).encode()}
        body = bodies.get(self.path, b"")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the base class looks it up by this name

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def release() -> Iterator[tuple[str, dict[str, tuple[int, str | None]]]]:
    """A stand-in for the Services: its address, and its answers to change."""
    answers = {"/backchannel-logout": (400, "no-store"), "/readyz": (200, None), "/metrics": (404, None)}
    handler = type("Handler", (FakeRelease,), {"answers": answers})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


def smoke_arguments(objects: list[Object]) -> list[str]:
    """The script the test pod runs, and the addresses it is given."""
    [pod] = of_kind(objects, "Pod")
    [smoke] = pod["spec"]["containers"]
    assert smoke["command"] == ["/opt/app/bin/python", "-c"]
    return list(smoke["args"])


def run_smoke(objects: list[Object], address: str) -> subprocess.CompletedProcess[str]:
    """Run what the test pod runs, with all Services at this address."""
    script, *addresses = smoke_arguments(objects)
    return subprocess.run(
        [sys.executable, "-c", script, *[re.sub(r"[^=]+$", address, one) for one in addresses]],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_smoke_asks_every_service(objects: list[Object]) -> None:
    """The test pod's addresses are the Services of this release."""
    _, *addresses = smoke_arguments(objects)
    services = {f"{s['metadata']['name']}:{s['spec']['ports'][0]['port']}" for s in of_kind(objects, "Service")}

    assert {address.rpartition("=")[2] for address in addresses} == services


def test_smoke_passes_on_a_good_release(render: Render, release: tuple[str, Object]) -> None:
    """`helm test` succeeds: the bad token is refused, service and evictor are ready, the canary is heard of."""
    address, _ = release
    for case, checks in (("minimal", 4), ("evictor", 5), ("canary", 5)):
        run = run_smoke(render(values_of(case)), address)

        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.count("ok: ") == checks


@pytest.mark.parametrize(
    ("path", "answer", "line"),
    [
        (
            "/backchannel-logout",
            (200, "no-store"),
            "FAILED: a malformed logout token is refused, uncached: got (200, 'no-store'), not (400, 'no-store')",
        ),
        (
            "/backchannel-logout",
            (400, None),
            "FAILED: a malformed logout token is refused, uncached: got (400, None), not (400, 'no-store')",
        ),
        ("/readyz", (503, None), "FAILED: the service is ready: got 503, not 200"),
        ("/readyz", (503, None), "FAILED: the evictor is ready: got 503, not 200"),
        ("/metrics", (200, None), "FAILED: the public Service does not carry metrics: got 200, not 404"),
    ],
)
def test_smoke_fails_on_a_bad_release(
    render: Render, release: tuple[str, Object], path: str, answer: tuple[int, str | None], line: str
) -> None:
    """`helm test` fails, and says why, when the release does not answer as it should."""
    address, answers = release
    answers[path] = answer

    run = run_smoke(render(values_of("evictor")), address)

    assert run.returncode == 1
    assert line in run.stdout.splitlines()


def test_smoke_fails_without_the_keys_of_an_op(
    render: Render, release: tuple[str, Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer that is wrong or cannot be reached: pods are ready, and no logout of it can be verified."""
    address, _ = release
    broken = {"tenants": {"configured": 2, "without_keys": 1}, "keys": {"main": "status 404"}}
    monkeypatch.setattr(FakeRelease, "ready", broken)
    objects = render(MINIMAL)
    script, *_ = smoke_arguments(objects)
    of_kind(objects, "Pod")[0]["spec"]["containers"][0]["args"][0] = script.replace("KEYS_S = 60.0", "KEYS_S = 0.0")

    run = run_smoke(objects, address)

    assert run.returncode == 1
    said = "FAILED: the keys of every OP are there: got {'tenants': 1, 'reasons': {'main': 'status 404'}}, not {}"
    assert said in run.stdout.splitlines()


def test_smoke_fails_where_the_canary_is_not_heard_of(
    render: Render, release: tuple[str, Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logouts that are answered and reach no app: the route leads elsewhere, or Redis is another one."""
    address, _ = release
    monkeypatch.setattr(FakeRelease, "metrics", b'logout_canary_probes_total{result="ok"} 0.0\n')
    objects = render(values_of("canary"))
    script, *_ = smoke_arguments(objects)
    of_kind(objects, "Pod")[0]["spec"]["containers"][0]["args"][0] = script.replace("CANARY_S = 60.0", "CANARY_S = 0.0")

    run = run_smoke(objects, address)

    assert run.returncode == 1
    assert "FAILED: a signed logout is heard of: got False, not True" in run.stdout.splitlines()

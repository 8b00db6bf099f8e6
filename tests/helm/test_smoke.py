"""What `helm test` runs, against a release that is good or bad."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rendered import (
    Object,
    Render,
    of_kind,
    values_of,
)


class FakeRelease(BaseHTTPRequestHandler):
    """Answers like an installed release, apart from what a test changes."""

    answers: dict[str, tuple[int, str | None]]

    def do_GET(self) -> None:
        """Answer any request to a path as the test says."""
        status, cache_control = self.answers[self.path]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        if cache_control:
            self.send_header("Cache-Control", cache_control)
        self.send_header("Content-Length", "0")
        self.end_headers()

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


def run_smoke(objects: list[Object], address: str) -> subprocess.CompletedProcess[str]:
    """Run what the test pod runs, with all Services at this address."""
    [pod] = of_kind(objects, "Pod")
    [smoke] = pod["spec"]["containers"]
    assert smoke["command"] == ["/opt/app/bin/python", "-c"]
    script, *addresses = smoke["args"]
    return subprocess.run(
        [sys.executable, "-c", script, *[address for _ in addresses]],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_smoke_asks_every_service(objects: list[Object]) -> None:
    """The test pod's addresses are the Services of this release."""
    [pod] = of_kind(objects, "Pod")
    services = {f"{s['metadata']['name']}:{s['spec']['ports'][0]['port']}" for s in of_kind(objects, "Service")}

    assert set(pod["spec"]["containers"][0]["args"][1:]) == services


def test_smoke_passes_on_a_good_release(render: Render, release: tuple[str, Object]) -> None:
    """`helm test` succeeds when the token is refused and the service, and the evictor, are ready."""
    address, _ = release
    for case, checks in (("minimal", 3), ("evictor", 4)):
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

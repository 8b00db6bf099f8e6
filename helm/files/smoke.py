# ruff: noqa: INP001, T201  # run as a text by the test pod, whose log is its output
"""Checks an installed release through its Services: `smoke.py PUBLIC INTERNAL [EVICTOR]`, each as HOST:PORT."""

import http.client
import sys


def ask(address: str, method: str, path: str, body: str | None = None) -> tuple[int, str | None]:
    """Send one request; return the status and the Cache-Control header."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    response = connection.getresponse()
    return response.status, response.headers["Cache-Control"]


def main(public: str, internal: str, evictor: str | None = None) -> int:
    """Return 0 when the release refuses a bad logout token as it should and calls itself ready."""
    checks: dict[str, tuple[object, object]] = {
        "a malformed logout token is refused, uncached": (
            ask(public, "POST", "/backchannel-logout", "logout_token=smoke-test"),
            (400, "no-store"),
        ),
        "the service is ready": (ask(internal, "GET", "/readyz")[0], 200),
        "the public Service does not carry metrics": (ask(public, "GET", "/metrics")[0], 404),
    }
    if evictor:
        checks["the evictor is ready"] = (ask(evictor, "GET", "/readyz")[0], 200)
    for behaviour, (got, wanted) in checks.items():
        print(f"ok: {behaviour}" if got == wanted else f"FAILED: {behaviour}: got {got}, not {wanted}")
    return int(any(got != wanted for got, wanted in checks.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

# ruff: noqa: INP001, T201  # run as a text by the test pod, whose log is its output
"""Checks an installed release through its Services, each as HOST:PORT.

`smoke.py PUBLIC INTERNAL [evictor=…] [watcher=…] [canary=…]`
"""

import http.client
import json
import re
import sys
import time

CANARY_S = 60.0
"""Seconds in which the canary's first logout has to be heard of: it may have begun while the receiver was starting."""


KEYS_S = 60.0
"""Seconds in which every OP's keys have to be there: they are fetched while the receiver already answers."""


def send(address: str, method: str, path: str, body: str | None = None) -> http.client.HTTPResponse:
    """Send one request."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    return connection.getresponse()


def ask(address: str, method: str, path: str, body: str | None = None) -> tuple[int, str | None]:
    """Send one request; return the status and the Cache-Control header."""
    response = send(address, method, path, body)
    return response.status, response.headers["Cache-Control"]


def heard(canary: str, within_s: float) -> bool:
    """Whether a logout that the canary signed is accepted by the public address and heard of."""
    end = time.monotonic() + within_s
    while True:
        metrics = send(canary, "GET", "/metrics").read().decode()
        if re.search(r'^logout_canary_probes_total\{result="ok"\} [1-9]', metrics, re.MULTILINE):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(1)


def without_keys(internal: str, within_s: float) -> dict[str, object]:
    """Nothing where the receiver has the keys of every tenant, else how many lack theirs, and some reasons."""
    end = time.monotonic() + within_s
    while True:
        report = json.loads(send(internal, "GET", "/readyz").read())
        if not (count := report["tenants"]["without_keys"]):
            return {}
        if time.monotonic() > end:
            return {"tenants": count, "reasons": report["keys"]}
        time.sleep(1)


def main(public: str, internal: str, *others: str) -> int:
    """Return 0 when the release refuses a bad logout token as it should and calls itself ready."""
    also = dict(other.split("=", 1) for other in others)
    checks: dict[str, tuple[object, object]] = {
        "a malformed logout token is refused, uncached": (
            ask(public, "POST", "/backchannel-logout", "logout_token=smoke-test"),
            (400, "no-store"),
        ),
        "the service is ready": (ask(internal, "GET", "/readyz")[0], 200),
        "the keys of every OP are there": (without_keys(internal, KEYS_S), {}),
        "the public Service does not carry metrics": (ask(public, "GET", "/metrics")[0], 404),
    }
    for name in ("evictor", "watcher"):
        if address := also.get(name):
            checks[f"the {name} is ready"] = (ask(address, "GET", "/readyz")[0], 200)
    if canary := also.get("canary"):
        checks["a signed logout is heard of"] = (heard(canary, CANARY_S), True)
    for behaviour, (got, wanted) in checks.items():
        print(f"ok: {behaviour}" if got == wanted else f"FAILED: {behaviour}: got {got}, not {wanted}")
    return int(any(got != wanted for got, wanted in checks.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

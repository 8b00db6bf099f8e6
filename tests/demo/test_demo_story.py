"""The whole demonstration, started as a person starts it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from demo import run_demo


@pytest.fixture(scope="module")
def told() -> subprocess.CompletedProcess[str]:
    """One run of `make demo ARGS=--once`."""
    return subprocess.run(
        [sys.executable, "-m", "demo", "--once"], capture_output=True, text=True, timeout=55, check=False
    )


def test_once_succeeds(told: subprocess.CompletedProcess[str]) -> None:
    """`make demo ARGS=--once` exits 0, with every check passed and nothing on stderr."""
    assert told.returncode == 0, told.stdout + told.stderr
    assert "checks passed." in told.stdout
    assert "✗" not in told.stdout
    assert told.stderr == ""


@pytest.mark.parametrize(
    "line",
    [
        "✓ the OP asked alice for her password once",
        "✓ portal: alice is signed in; silent token call: token; userinfo: alice",
        "✓ orders: alice is signed in; silent token call: token; userinfo: alice",
        "✓ there was one logout token for each app of alice's session",
        "✓ portal forgot alice, ",
        "✓ orders forgot alice, ",
        "✓ the shared cache holds no tokens of alice",
        "✓ portal: the silent token call that worked before now answers: nothing",
        "✓ orders: the silent token call that worked before now answers: nothing",
        "✓ the shared cache holds the same 6 tokens of bob",
        "✓ the shared cache holds no tokens of anybody",
    ],
)
def test_story_tells(told: subprocess.CompletedProcess[str], line: str) -> None:
    """Each turn of the story is there for a newcomer to read."""
    assert line in told.stdout


def test_story_shows_no_token(told: subprocess.CompletedProcess[str]) -> None:
    """Claims are printed, tokens never: no JWS and no bearer token appears."""
    assert "eyJ" not in told.stdout


@pytest.fixture
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer behind a company's proxy has set."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setenv("RECEIVER_ISSUER", "https://elsewhere.example.com")


@pytest.mark.usefixtures("_own_environment")
def test_story_fails_when_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """With apps that do not subscribe the same story ends with 1: alice's tokens are still there and still work."""
    exit_code = run_demo(once=True, subscribe=False, patience_s=0.1)

    printed = "".join(capsys.readouterr())
    assert exit_code == 1
    assert "✓ the receiver answered 200" in printed, printed
    assert "✗ portal has not forgotten alice" in printed
    assert "✗ the shared cache holds 6 tokens of alice" in printed
    assert "✗ orders: the silent token call that worked before now answers: token" in printed
    assert "✓ the shared cache holds the same 6 tokens of bob" in printed

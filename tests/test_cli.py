"""The `receiver` command: exit codes and one clear line on errors."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from receiver import __version__
from receiver.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.receiver import Receiver

ONLY_THE_CLIENT_LIBRARY = """
import sys

SERVER = {"aiohttp", "jwt", "cryptography", "joserfc", "pydantic", "pydantic_settings", "prometheus_client", "yaml"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in SERVER:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process where the server's dependencies are not installed."""
    return subprocess.run(
        [sys.executable, "-c", ONLY_THE_CLIENT_LIBRARY + code], capture_output=True, text=True, timeout=60, check=False
    )


def test_consumer_needs_none_of_the_servers_dependencies() -> None:
    """A web app imports the consumer library, MSAL part included, with redis alone installed."""
    result = run("import receiver.consumer, receiver.consumer.msal_cache; print(receiver.consumer.Subscriber)")

    assert (0, "") == (result.returncode, result.stderr)


def test_server_without_its_extra_says_what_to_install() -> None:
    """`receiver serve` without the server extra is one line naming it, exit code 2."""
    result = run("from receiver.cli import main; sys.exit(main(['serve']))")

    assert 2 == result.returncode
    assert "pip install '.[server]' in a checkout" in result.stderr
    assert 1 == len(result.stderr.splitlines())


def test_config_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for a usable configuration, 2 and one line on stderr for one without tenants."""
    assert 2 == main(["config", "check"])
    assert "no tenants" in capsys.readouterr().err
    monkeypatch.setenv("RECEIVER_ISSUER", "https://op.example")
    monkeypatch.setenv("RECEIVER_CLIENT_IDS", "portal")

    assert 0 == main(["config", "check"])
    assert "1 tenant(s)" in capsys.readouterr().out


def test_config_schema_is_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """The printed schema is JSON and refuses unknown keys."""
    assert 0 == main(["config", "schema"])

    assert json.loads(capsys.readouterr().out)["additionalProperties"] is False


def test_port_in_use(receiver: Receiver) -> None:
    """A listener that cannot open ends the process with 2 and names the address."""
    result = subprocess.run(
        [
            *(sys.executable, "-m", "receiver", "serve", "--set", "redis.url=redis://127.0.0.1:1/0"),
            *("--set", f"public.port={receiver.server.public_port}", "--set", "public.host=127.0.0.1"),
            *("--set", "internal.port=0"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 2 == result.returncode
    assert f"cannot listen on 127.0.0.1:{receiver.server.public_port}" in result.stderr
    assert 1 == len(result.stderr.splitlines())


def test_version() -> None:
    """`--version` prints the package's version."""
    result = subprocess.run(
        [sys.executable, "-m", "receiver", "--version"], capture_output=True, text=True, timeout=60, check=True
    )

    assert f"logout-receiver {__version__}" == result.stdout.strip()


@pytest.mark.parametrize("url", ["http://[::1", "http://no host"])
def test_healthcheck_of_no_address(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped `--url` is one line and exit code 2."""
    assert 2 == main(["healthcheck", "--url", url])
    assert capsys.readouterr().err.startswith("receiver: --url: expected an http address")


@pytest.mark.parametrize(
    ("option", "said"),
    [(("--url", "http://[::1"), "no receiver's API answers"), (("--wait", "soon"), "not a number of seconds")],
)
def test_order_with_a_slip(option: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped option of `receiver order` is named, exit code 2."""
    monkeypatch.setenv("RECEIVER_INTERNAL__TOKEN", "operator orders " + "s" * 40)
    command = [sys.executable, "-m", "receiver", "order", "--tenant", "main", "--sub", "x", "--reason", "y", *option]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert 2 == result.returncode
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_audit_find_says_that_it_found_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 comes with a line that says why."""
    monkeypatch.setenv("RECEIVER_AUDIT__KEY", "a " + "0" * 64)
    file = tmp_path / "audit.jsonl"
    file.touch()

    assert 1 == main(["audit", "find", "--sub", "x", str(file)])
    assert capsys.readouterr().err == "receiver: no record of this user or session in these files\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["healthcheck"], 1),
        (["order", "--tenant", "main", "--sub", "x", "--reason", "y"], 2),
    ],
)  # fmt: skip
def test_what_answers_does_not_speak_http(
    command: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The port of something else, such as a mail server, is one line and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_greet, args=(server,))
        thread.start()
        monkeypatch.setenv("RECEIVER_INTERNAL__PORT", str(server.getsockname()[1]))
        monkeypatch.setenv("RECEIVER_INTERNAL__TOKEN", "operator orders " + "s" * 40)

        assert code == main(command)
        thread.join()

    assert "220 mail.example" in capsys.readouterr().err


def _greet(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        _ = connection.recv(65536)
        connection.sendall(b"220 mail.example ready\r\n")

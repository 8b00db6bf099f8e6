"""`receiver audit`: exit codes and what is printed."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from receiver.cli import main
from receiver.core.audit import Chain, parse_keys
from tests.support.clock import NOW

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k1 " + "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_AUDIT__KEY", KEY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a whole chain."""
    [key] = parse_keys(KEY)
    records = [
        {"time": NOW, "decision": "started", "version": "1"},
        {"time": NOW, "decision": "accepted", "tenant": "t1", "sub": "alice", "sid": "s1"},
        {"time": NOW, "decision": "refused", "tenant": "t1", "sub": "bob"},
    ]
    made = tmp_path / "audit.jsonl"
    made.write_text(Chain("a" * 32, key).lines(records), encoding="utf-8")
    return made


def test_verify(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 for a whole chain, 1 for one that was changed, 2 for a file that is not there."""
    assert 0 == main(["audit", "verify", str(path)])
    assert capsys.readouterr().out.startswith("ok: chain aaaa")

    path.write_text(path.read_text().replace("refused", "accepted"))

    assert 1 == main(["audit", "verify", "--json", str(path)])
    shown = json.loads(capsys.readouterr().out)
    assert (False, "record 2 was changed") == (shown["good"], shown["chains"][0]["verdict"])
    assert 2 == main(["audit", "verify", str(path) + ".gone"])


def test_verify_standard_input(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads what is piped in."""
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text()))

    assert 0 == main(["audit", "verify", "-"])
    assert "3 records" in capsys.readouterr().out


def test_find(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the records about a user, a session or both; exit 1 where there is none."""
    assert 0 == main(["audit", "find", "--sub", "alice", "--sid", "s1", str(path)])
    [line] = capsys.readouterr().out.splitlines()
    assert "accepted" == json.loads(line)["decision"]
    assert 1 == main(["audit", "find", "--sub", "carol", str(path)])
    assert 1 == main(["audit", "find", "--sub", "alice", "--tenant", "t2", str(path)])
    assert 2 == main(["audit", "find", str(path)])


def test_records_of_another_key(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written with a key that is not at hand is neither trusted nor searched, and that is said."""
    monkeypatch.setenv("RECEIVER_AUDIT__KEY", "k2 " + "f" * 32)

    assert 1 == main(["audit", "verify", str(path)])
    assert "no key k1 at hand" in capsys.readouterr().out
    assert 1 == main(["audit", "find", "--sub", "alice", str(path)])
    assert "2 records were not searched: no key k1" in capsys.readouterr().err


def test_without_keys(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without keys nothing can be checked: exit 2."""
    monkeypatch.delenv("RECEIVER_AUDIT__KEY")

    assert 2 == main(["audit", "verify", str(path)])
    assert "audit.key_file" in capsys.readouterr().err

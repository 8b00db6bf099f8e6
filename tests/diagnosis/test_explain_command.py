"""`receiver explain` as a command: where token and keys come from, what is printed, what it exits with."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import NOW
from tests.support.keys import b64

if TYPE_CHECKING:
    from pathlib import Path

    from tests.diagnosis.conftest import Command
    from tests.support.op import OP

AT_NOW = ("--now", str(NOW))


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Put bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.fixture
def jwks(op: OP, tmp_path: Path) -> str:
    """The OP's JWK Set in a file."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": op.keys}))
    return str(path)


async def test_good_token_offline(command: Command, op: OP, config: Path, jwks: str) -> None:
    """With `--jwks` a good token exits 0, the last line says accepted, and nobody is asked anything."""
    ran = await command("explain", op.token(), "--config", str(config), "--jwks", jwks, *AT_NOW)

    assert (0, "") == (ran.code, ran.err)
    assert "accepted: the service answers 200 and ends the session sid names" == ran.out.splitlines()[-1]
    assert (0, 0) == (op.discovery_fetches, op.jwks_fetches)


@pytest.mark.parametrize("argument", [(), ("-",)])
async def test_token_from_standard_input(
    command: Command, op: OP, config: Path, monkeypatch: pytest.MonkeyPatch, argument: tuple[str, ...]
) -> None:
    """`-`, or no argument, reads the token from standard input; the line end is not part of it."""
    give(monkeypatch, op.token().encode() + b"\r\n")

    ran = await command("explain", *argument, "--config", str(config), *AT_NOW)

    assert 0 == ran.code


async def test_binary_standard_input(
    command: Command, config: Path, jwks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is on standard input is judged, not a traceback."""
    give(monkeypatch, bytes(range(256)))

    ran = await command("explain", "--config", str(config), "--jwks", jwks)

    assert (1, "") == (ran.code, ran.err)
    assert "refused: the service answers 400 malformed" in ran.out


async def test_empty_standard_input(command: Command, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token is a usage error."""
    give(monkeypatch, b"\n")

    ran = await command("explain", "--config", str(config))

    assert 2 == ran.code
    assert "no token" in ran.err


async def test_a_clock_that_is_ahead(
    command: Command, op: OP, config: Path, jwks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that is early waits where there is an outbox, and is answered 503 where there is none."""
    asked = (
        "explain",
        op.token(iat=NOW + 200, exp=NOW + 320),
        "--config",
        str(config),
        "--jwks",
        jwks,
        *AT_NOW,
        "--json",
    )

    without = await command(*asked)
    monkeypatch.setenv("RECEIVER_OUTBOX__PATH", str(config.with_name("outbox.db")))
    waits = await command(*asked)

    assert (1, "publish", 503) == (without.code, *(without.json["verdict"][name] for name in ("code", "status")))
    assert (0, 200, 140.0) == (waits.code, *(waits.json["verdict"][name] for name in ("status", "wait_s")))


async def test_form_body_as_captured(command: Command, op: OP, config: Path, jwks: str) -> None:
    """A form body copied from a proxy's log is understood."""
    ran = await command("explain", f"logout_token={op.token()}", "--config", str(config), "--jwks", jwks, *AT_NOW)

    assert 0 == ran.code


async def test_json_shape(command: Command, op: OP, config: Path, jwks: str) -> None:
    """The shape of `--json`: verdict, tenant, time, keys, and a member for each rule."""
    ran = await command("explain", op.token(nonce="n"), "--config", str(config), "--jwks", jwks, *AT_NOW, "--json")

    assert 1 == ran.code
    printed = ran.json
    rules = printed.pop("rules")
    assert {
        "kind": "logout",
        "verdict": {
            "outcome": "refused",
            "code": "nonce",
            "status": 400,
            "message": "a logout token must not carry nonce; is this an ID token?",
            "scope": None,
            "wait_s": 0.0,
        },
        "tenant": "t1",
        "judged_at": NOW,
        "keys_from": jwks,
        "keys_note": None,
    } == printed
    assert {
        "number": "5.8",
        "rule": "nonce",
        "section": "BCL §2.6 step 7",
        "outcome": "failed",
        "code": "nonce",
        "text": "a logout token must not carry nonce; is this an ID token? [nonce present]",
        "advice": "OP: send a logout token, not an ID token.",
    } == next(rule for rule in rules if rule["rule"] == "nonce")


async def test_neither_token_nor_signature_nor_key_is_printed(
    command: Command, op: OP, config: Path, jwks: str
) -> None:
    """Nothing of the token's segments, the user or the key material appears, in text or JSON."""
    token = op.token(sub="alice@example.com", sid="s-4711", nonce="n-0S6")
    arguments = ("explain", token, "--config", str(config), "--jwks", jwks, *AT_NOW)

    out = (await command(*arguments)).out + (await command(*arguments, "--json")).out

    for secret in (*token.split("."), "alice", "s-4711", "n-0S6", op.signing_key.jwk["n"]):
        assert secret not in out
        assert secret[:20] not in out or secret in {"alice", "s-4711", "n-0S6"}


async def test_subject_on_request(command: Command, op: OP, config: Path, jwks: str) -> None:
    """`--show-subject` prints `sub` and `sid`."""
    arguments = ("--config", str(config), "--jwks", jwks, *AT_NOW)

    ran = await command("explain", op.token(sub="alice"), *arguments, "--show-subject")

    assert 'sub "alice", sid "s1"' in ran.out


async def test_control_characters_do_not_reach_the_terminal(command: Command, op: OP, config: Path, jwks: str) -> None:
    """Escape sequences, line ends and changes of direction in a token are printed as escapes."""
    evil = "\x1b[2J\r\n\u202eevil\x7f\x9b"
    token = op.token(
        header={"kid": evil, "typ": evil}, iss=evil, aud=[evil], jti=evil, events={evil: {}}, exp=evil, sub=evil
    )

    ran = await command("explain", token, "--config", str(config), "--jwks", jwks, *AT_NOW, "--show-subject")

    assert 1 == ran.code
    assert not set("\x1b\r\u202e\x7f\x9b") & set(ran.out)
    assert "\\u001b[2J" in ran.out


async def test_tenant_in_the_path(command: Command, op: OP, config: Path, jwks: str) -> None:
    """`--tenant` asks the question the tenant's own path would; an unknown one is a usage error."""
    arguments = ("explain", op.token(), "--config", str(config), "--jwks", jwks, *AT_NOW)

    assert 0 == (await command(*arguments, "--tenant", "t1")).code
    ran = await command(*arguments, "--tenant", "t9\x1b[2J")
    assert 2 == ran.code
    assert "receiver: --tenant t9\\u001b[2J: no such tenant; configured: t1" == ran.err.strip()


@pytest.mark.parametrize("now", ["-1", "nan", "inf", "1e300"])
async def test_time_that_is_none(command: Command, op: OP, config: Path, now: str) -> None:
    """`--now` takes a NumericDate and nothing else."""
    assert 2 == (await command("explain", op.token(), "--config", str(config), f"--now={now}")).code


async def test_nothing_configured(command: Command, op: OP, jwks: str) -> None:
    """With no tenant at all the token is refused as the service would, and what to configure is said."""
    ran = await command("explain", op.token(), "--jwks", jwks, *AT_NOW)

    assert 1 == ran.code
    assert "set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS" in ran.out
    assert "no tenant's rules apply" in ran.out


def test_terminal_without_our_signs(op: OP, jwks: str) -> None:
    """On a terminal that knows ASCII only, signs are replaced and nothing fails."""
    result = subprocess.run(
        [sys.executable, "-m", "receiver", "explain", op.token(), "--jwks", jwks],
        env={"PYTHONIOENCODING": "ascii", "RECEIVER_ISSUER": op.issuer, "RECEIVER_CLIENT_IDS": "c1"},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (1, b"") == (result.returncode, result.stderr)
    assert b"+ shape" in result.stdout
    assert b"x iat" in result.stdout


def test_reader_that_has_seen_enough(op: OP, jwks: str) -> None:
    """A closed pipe, as `head` leaves behind, is no traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "receiver", "explain", op.token(header={"kid": b64("x")}), "--jwks", jwks],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.close()
        try:
            _, err = child.communicate(timeout=60)
        finally:
            child.kill()

    assert b"" == err

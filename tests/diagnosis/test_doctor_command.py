"""The command `receiver doctor`, as an operator sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from tests.diagnosis.conftest import Command
    from tests.support.op import OP


async def test_command(command: Command, op: OP) -> None:
    """One line for each check, the fix on the line, the sum last; exit 1 as Redis is not there."""
    ran = await command("doctor", "--set", f"issuer={op.issuer}", "--set", "client_ids=c1")

    lines = ran.out.splitlines()
    assert (1, "") == (ran.code, ran.err)
    assert any(line.startswith("✓ main") and "equal letter by letter" in line for line in lines)
    assert all(line[0] in "✓✗!·" for line in lines[:-2])
    assert lines[-1].endswith("lines")


async def test_nothing_configured(command: Command) -> None:
    """With nothing configured, the missing tenants fail and the embedded Redis is explained."""
    ran = await command("doctor", "--json")

    assert 1 == ran.code
    assert {
        "passed": False,
        "checks": [
            {
                "area": "tenants",
                "check": "configured",
                "outcome": "failed",
                "text": "none: every logout is refused",
                "fix": "Set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS, or tenants: in the file given by --config.",
            },
            {
                "area": "redis",
                "check": "reachable",
                "outcome": "warning",
                "text": "embedded: events live in a child process of `receiver serve` and end with it",
                "fix": "Set redis.url to the Redis your apps share.",
            },
        ],
    } == ran.json


async def test_control_characters_of_an_op(command: Command, op: OP) -> None:
    """What an OP publishes cannot move the cursor."""
    op.metadata = {"issuer": "\x1b[2J"}
    op.keys.append(rsa_pair("\x1b[31m").published(use="enc\x07"))

    ran = await command("doctor", "--set", f"issuer={op.issuer}", "--set", "client_ids=c1")

    assert not set("\x1b\x07") & set(ran.out)

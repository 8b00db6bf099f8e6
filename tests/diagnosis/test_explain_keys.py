"""Where `receiver explain` has its keys from: a file, the service, the OP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.diagnosis.conftest import Command, write_config
from tests.support.clock import NOW
from tests.support.keys import rsa_pair
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

AT_NOW = ("--now", str(NOW))


async def test_keys_come_from_the_op(command: Command, op: OP, config: Path) -> None:
    """Without `--jwks` discovery and keys are fetched as the service fetches them."""
    ran = await command("explain", op.token(), "--config", str(config), *AT_NOW)

    assert 0 == ran.code
    assert f"keys from {op.issuer}/jwks" in ran.out
    assert (1, 1) == (op.discovery_fetches, op.jwks_fetches)


async def test_keys_of_the_service(
    command: Command, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, op: OP, tmp_path: Path
) -> None:
    """The copy in Redis judges a token; where it speaks against the token, the OP is asked, and both are named."""
    path = tmp_path / "served.json"
    tenants = [t1(op)]
    path.write_text(json.dumps({"redis": {"url": redis_server.url}, "tenants": tenants}))
    async with start_receiver(redis_server.url, redis_client, op.clock, tenants) as receiver:
        assert 200 == (await receiver.post(op.token())).status
    fetched = op.jwks_fetches
    known, new = op.token(), rsa_pair("k2")
    later = op.token(key=new, header={"kid": "k2"})

    by_copy = (await command("explain", known, "--config", str(path), "--json", *AT_NOW)).json
    assert ("accepted", fetched, None) == (by_copy["verdict"]["outcome"], op.jwks_fetches, by_copy["keys_note"])
    assert "the service's copy of 2026-11-20" in by_copy["keys_from"]

    neither = (await command("explain", later, "--config", str(path), "--json", *AT_NOW)).json
    assert ("unknown_kid", fetched + 1) == (neither["verdict"]["code"], op.jwks_fetches)
    assert neither["keys_note"]

    op.keys.append(new.published())
    by_op = (await command("explain", later, "--config", str(path), "--json", *AT_NOW)).json
    assert ("accepted", f"{op.issuer}/jwks") == (by_op["verdict"]["outcome"], by_op["keys_from"])
    assert "the service's copy" in by_op["keys_note"]

    op.status = 500
    alone = (await command("explain", later, "--config", str(path), "--json", *AT_NOW)).json
    assert ("unknown_kid", by_copy["keys_from"]) == (alone["verdict"]["code"], alone["keys_from"])
    assert "HTTP 500" in alone["keys_note"]


async def test_keys_from_a_configured_address(command: Command, op: OP, tmp_path: Path) -> None:
    """A configured `jwks_uri` is used without discovery."""
    config = write_config(tmp_path, op, jwks_uri=f"{op.issuer}/jwks")

    ran = await command("explain", op.token(), "--config", str(config), *AT_NOW)

    assert 0 == ran.code
    assert (0, 1) == (op.discovery_fetches, op.jwks_fetches)


async def test_op_that_is_down(command: Command, op: OP, config: Path) -> None:
    """An OP whose keys cannot be had is said to be the fault: 503, and what to look at."""
    op.status = 500

    ran = await command("explain", op.token(), "--config", str(config), *AT_NOW, "--json")

    assert 1 == ran.code
    assert ("refused", "jwks_unavailable", 503) == tuple(
        ran.json["verdict"][name] for name in ("outcome", "code", "status")
    )
    assert "HTTP 500" in ran.json["verdict"]["message"]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [({"issuer": "https://other.example"}, "its issuer is not the configured"), ({"jwks_uri": 7}, "has no jwks_uri")],
)
async def test_discovery_that_is_no_good(
    command: Command, op: OP, config: Path, metadata: dict[str, Any], expected: str
) -> None:
    """A discovery document of another issuer, or without an address of keys, leads to no keys."""
    op.metadata = metadata

    ran = await command("explain", op.token(), "--config", str(config), *AT_NOW)

    assert 1 == ran.code
    assert expected in ran.out.splitlines()[-1]


async def test_no_usable_key_set_at_the_op(command: Command, op: OP, config: Path) -> None:
    """A key address that answers something else leads to no keys."""
    op.jwks_body = b'{"error": "gone"}'

    ran = await command("explain", op.token(), "--config", str(config), *AT_NOW)

    assert "not a JWK Set" in ran.out.splitlines()[-1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": []}', "\xff"])
async def test_key_file_that_is_no_key_set(
    command: Command, op: OP, config: Path, tmp_path: Path, content: str
) -> None:
    """A `--jwks` file that holds no usable key is a usage error of one line."""
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("latin-1"))

    ran = await command("explain", op.token(), "--config", str(config), "--jwks", str(path))

    assert (2, 1) == (ran.code, len(ran.err.splitlines()))
    assert "expected a JWK Set" in ran.err


async def test_key_file_that_is_not_there(command: Command, op: OP, config: Path, tmp_path: Path) -> None:
    """A missing `--jwks` file is a usage error."""
    ran = await command("explain", op.token(), "--config", str(config), "--jwks", str(tmp_path / "none"))

    assert 2 == ran.code
    assert "No such file" in ran.err


async def test_service_that_answers_400_when_it_has_no_keys(command: Command, op: OP, config: Path) -> None:
    """The status is the one these settings lead to."""
    op.status = 500

    ran = await command(
        "explain", op.token(), "--config", str(config), *AT_NOW, "--json", "--set", "public.unavailable_status=400"
    )

    assert 400 == ran.json["verdict"]["status"]


async def test_weak_keys_in_the_set_are_counted(command: Command, op: OP, config: Path) -> None:
    """Keys that must not verify are counted beside the usable ones."""
    op.keys.append(rsa_pair("weak", 1024).published())

    ran = await command("explain", op.token(), "--config", str(config), *AT_NOW)

    assert 0 == ran.code
    assert "1 usable, 1 unusable" in ran.out

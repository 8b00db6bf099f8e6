"""`receiver order` and `receiver names`: through the API of a running receiver, with a real listener that answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.names import Names
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.consumer import Subscriber
from receiver.core.audit import parse_keys
from receiver.core.index_names import PLAIN
from receiver.core.sign_in import SignIn
from receiver.diagnosis import orders
from tests.support.clock import NOW, Clock
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.diagnosis.conftest import Command, Ran
    from tests.support.op import OP

TOKEN = "0123456789abcdef-first"
DEADLINE_S = 60.0
AUDIT_KEY = "k1 " + "0123456789abcdef" * 2


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, tmp_path: Path
) -> AsyncIterator[Receiver]:
    """A receiver that expects the app shop to answer."""
    sections = {
        "internal": {"token": f"desk orders,read {TOKEN}\nmonitor read {TOKEN}-second"}, "apps": ["shop"],
        "audit": {"path": tmp_path / "audit.jsonl", "key": AUDIT_KEY},
    }  # fmt: skip
    tenants = [t1(op, account_from_sub=False)]
    async with start_receiver(redis_server.url, redis_client, clock, tenants, **sections) as receiver:
        yield receiver


@pytest.fixture
def order(command: Command, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `receiver order` against it."""
    monkeypatch.setattr(orders, "PAUSE_S", 0.01)
    token_file = tmp_path / "token"
    token_file.write_text(f"desk orders,read {TOKEN}\n")

    async def run(*arguments: str, reason: str = "stolen laptop") -> Ran:
        called = ("--url", receiver.internal, "--token-file", str(token_file), "--tenant", "t1", "--reason", reason)
        return await command("order", *called, *arguments)

    return run


async def events(receiver: Receiver) -> list[tuple[Any, ...]]:
    """What is in the stream: scope, sub, sid, reason."""
    found = [event["data"] for event in await receiver.events()]
    return [(data["scope"], data["sub"], data["sid"], data["reason"]) for data in found]


async def test_one_user_or_one_session(order: Any, receiver: Receiver) -> None:
    """An order is an event like one of the API, with its reason; its id is printed."""
    by_sub = await order("--sub", "u1")
    by_sid = await order("--sid", "s1")

    assert [("user", "u1", None, "stolen laptop"), ("session", None, "s1", "stolen laptop")] == await events(receiver)
    assert (0, 0) == (by_sub.code, by_sid.code)
    assert (await receiver.events())[0]["id"] in by_sub.out


async def test_home_account_id(
    order: Any, receiver: Receiver, redis_client: redis.asyncio.Redis, op: OP, clock: Clock
) -> None:
    """An order for an account ends what is registered for it, under every subject, and marks it."""
    sign_ins = SignIns(lambda: redis_client, KeyNames(), clock=clock)
    sign_in = SignIn(
        iss=op.issuer, client_ids=("c1",), sub="pairwise", auth_time=NOW - 60, home_account_id="uid.utid", keys=("k1",)
    )
    await sign_ins.register(sign_in, lifetime_s=600)

    assert 0 == (await order("--account", "uid.utid")).code

    [event] = [event["data"] for event in await receiver.events()]
    assert (["uid.utid"], "uid.utid", "uid.utid") == (event["accounts"], event["account"], event["sub"])
    assert [{"client_id": "c1", "keys": ["k1"]}] == event["sessions"]
    assert (await sign_ins.ask(sign_in, skew_s=60)).ended


@pytest.mark.parametrize("way", ["account", "home_account_id"])
async def test_account_in_a_file(order: Any, receiver: Receiver, tmp_path: Path, way: str) -> None:
    """A file may call the account as the option does, or as the API."""
    file = tmp_path / "users"
    file.write_text(f"{way} uid.utid\n")

    assert 0 == (await order("--file", str(file))).code
    assert ["uid.utid"] == [event["data"]["account"] for event in await receiver.events()]


async def test_names(order: Any, receiver: Receiver, redis_client: redis.asyncio.Redis, op: OP, clock: Clock) -> None:
    """A user name is that of every subject it was registered for; one that is not known is refused."""
    names = Names(redis_client, KeyNames(), PLAIN, clock=clock)
    for sub in ("u1", "u2"):
        await names.note("username", "Alice", iss=op.issuer, sub=sub, lifetime_s=600)

    known = await order("--username", "alice")
    unknown = await order("--email", "bob@example.com")

    assert {"u1", "u2"} == {sub for _, sub, _, _ in await events(receiver)}
    assert (0, 1) == (known.code, unknown.code)
    assert "unknown_user" in unknown.out


async def test_file_of_many(order: Any, receiver: Receiver, tmp_path: Path) -> None:
    """One line for each order, with its place among them; exit 1 where one was refused, and the others are taken."""
    file = tmp_path / "users"
    file.write_text("# leavers\nsub u1\n\nsid s 1\nemail nobody@example.com\nsub u2\n")

    ran = await order("--file", str(file), "--json")

    assert ["u1", None, "u2"] == [sub for _, sub, _, _ in await events(receiver)]
    assert ["s 1"] == [sid for _, _, sid, _ in await events(receiver) if sid]
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert ["", "", "unknown_user", ""] == [line["problem"] for line in lines]
    assert (1, [1, 1, 0, 1]) == (ran.code, [len(line["events"]) for line in lines])


@pytest.mark.parametrize("text", ["u1\n", "subject u1\n", "sub \n", "# none\n"])
async def test_bad_file(order: Any, receiver: Receiver, tmp_path: Path, text: str) -> None:
    """A line that says no way, or no name, is refused before anything is ordered."""
    file = tmp_path / "users"
    file.write_text(text)

    assert 2 == (await order("--file", str(file))).code
    assert [] == await events(receiver)


async def test_wait_until_every_app_has_answered(order: Any, redis_server: EmbeddedRedis) -> None:
    """Exit 0 once the app has dropped the user; without the app exit 1, and its name."""
    without = await order("--sub", "u1", "--wait", "0")
    async with Subscriber(redis_server.url, lambda _: None, app="shop"):
        ran = await order("--sub", "u2", "--wait", "20")

    assert (1, 0) == (without.code, ran.code)
    assert "shop" in without.err
    assert "1 of 1 evictions done" in ran.err


async def test_audited_under_the_name_of_the_token(order: Any, tmp_path: Path) -> None:
    """The record says who ordered and why, and is about the user."""
    await order("--sub", "u1", reason="INC-7")
    path = tmp_path / "audit.jsonl"
    async with asyncio.timeout(DEADLINE_S):
        while "INC-7" not in text_of(path):
            await asyncio.sleep(0.01)

    [record] = [json.loads(line) for line in text_of(path).splitlines() if "INC-7" in line]
    assert ("accepted", "admin", "desk") == (record["decision"], record["input"], record["caller"])
    assert parse_keys(AUDIT_KEY)[0].digest("sub", "t1", "u1") == record["sub"]


def text_of(path: Path) -> str:
    """What is in a file by now."""
    return path.read_text(encoding="utf-8")


async def test_reason_is_required(command: Command, receiver: Receiver) -> None:
    """Without a reason nothing is ordered."""
    with pytest.raises(SystemExit) as ended:
        await command("order", "--url", receiver.internal, "--tenant", "t1", "--sub", "u1")

    assert 2 == ended.value.code


async def test_token_without_the_scope(command: Command, receiver: Receiver, tmp_path: Path) -> None:
    """A token that may not order is told so at the first order; exit 2."""
    token_file = tmp_path / "monitor"
    token_file.write_text(TOKEN + "-second")

    ran = await command(
        "order", "--url", receiver.internal, "--token-file", str(token_file), "--tenant", "t1", "--sub", "u1",
        "--reason", "x",
    )  # fmt: skip

    assert (2, []) == (ran.code, await events(receiver))


async def test_nobody_answers(command: Command, tmp_path: Path) -> None:
    """Where no receiver runs, one line says so; exit 2."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)

    ran = await command(
        "order", "--url", "http://127.0.0.1:1", "--token-file", str(token_file), "--tenant", "t1", "--sub", "u1",
        "--reason", "x",
    )  # fmt: skip

    assert (2, 1) == (ran.code, len(ran.err.splitlines()))


async def test_erase_a_name(
    command: Command, receiver: Receiver, redis_client: redis.asyncio.Redis, op: OP, tmp_path: Path
) -> None:
    """A name that is erased is not known any more: exit 0 the first time, 1 the second."""
    names = Names(redis_client, KeyNames(), PLAIN, clock=op.clock)
    await names.note("email", "alice@example.com", iss=op.issuer, sub="u1", lifetime_s=600)
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    called = ("--url", receiver.internal, "--token-file", str(token_file), "--tenant", "t1")

    ran = [await command("names", "erase", *called, "--email", "alice@example.com") for _ in range(2)]

    assert [0, 1] == [one.code for one in ran]
    assert [] == await names.subjects("email", "alice@example.com", [op.issuer])

"""The audit log of a running receiver: one record for each decision, and never in a logout's way."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from receiver.core.audit import parse_keys, read
from receiver.errors import ConfigurationError
from receiver.ingress.audit import File
from tests.docs.pages import DOCS
from tests.support.keys import rsa_pair
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

KEY = "k1 " + "0123456789abcdef" * 2
TOKEN = "0123456789abcdef-first"
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((DOCS / "schemas" / "audit-record.schema.json").read_text(encoding="utf-8")),
    format_checker=jsonschema.FormatChecker(),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the records are written."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def start(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, path: Path) -> Any:
    """Starts a receiver with an audit log."""

    def with_audit(**sections: Any) -> AbstractAsyncContextManager[Receiver]:
        audit = {"path": path, "key": KEY, **sections.pop("audit", {})}
        internal = {"token": f"desk orders {TOKEN}"}
        return start_receiver(
            redis_server.url, redis_client, clock, [t1(op)], audit=audit, internal=internal, **sections
        )

    return with_audit


def records(path: Path) -> list[dict[str, Any]]:
    """The decisions in the file; the chains are whole, and each record is as the schema says."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert read(lines, parse_keys(KEY)).is_good
    found = [json.loads(line) for line in lines]
    for record in found:
        SCHEMA.validate(record)
    assert ("started", "ended") == (found[0]["decision"], found[-1]["decision"])
    return found[1:-1]


async def order(receiver: Receiver, **members: Any) -> int:
    """An operator's order; the status of its answer."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = receiver.internal + "/v1/evictions"
    async with receiver.http.post(url, json={"tenant": "t1", **members}, headers=headers) as response:
        return response.status


async def test_every_decision_is_one_record(start: Any, op: OP, path: Path) -> None:
    """Accepted, repeated, refused, kept for its key, ordered: each has its code, and digests of the user."""
    async with start() as receiver:
        token = op.token(jti="j1", sub="alice", sid="s-1")
        await receiver.post(token)
        await receiver.post(token)
        await receiver.post(op.token(aud="c9", sub="alice"))
        await receiver.post(op.token(key=rsa_pair("k2"), header={"kid": "k2"}))
        await order(receiver, sub="bob", reason="device stolen")
        await order(receiver, sub="bob", client_id="c9")
        [event, _] = await receiver.events()

    found = records(path)
    assert [
        ("accepted", "backchannel", "ok", 200, None),
        ("duplicate", "backchannel", "ok", 200, None),
        ("refused", "backchannel", "audience", 400, None),
        ("held", "backchannel", "unknown_kid", 400, None),
        ("accepted", "admin", "ok", 202, "desk"),
        ("refused", "admin", "audience", 400, "desk"),
    ] == [(r["decision"], r["input"], r["code"], r["status"], r.get("caller")) for r in found]
    assert [event["id"], "j1", "device stolen"] == [found[0]["event_id"], found[0]["jti"], found[4]["reason"]]
    assert ["verified" in record for record in found] == [False, False, True, True, False, True]
    [key] = parse_keys(KEY)
    alice, bob = (key.digest("sub", "t1", name) for name in ("alice", "bob"))
    assert [alice, alice, alice, key.digest("sub", "t1", "u1"), bob, bob] == [record["sub"] for record in found]
    assert key.digest("sid", "t1", "s-1") == found[0]["sid"]
    [text] = texts(path)
    assert [] == [name for name in ("alice", "bob", "s-1") if name in text]


async def test_junk_is_counted(start: Any, op: OP, path: Path) -> None:
    """What names no tenant of ours is counted and not recorded: nothing can be said of it, and it can be endless."""
    async with start() as receiver:
        await receiver.post("junk")
        await receiver.send("GET", "/nowhere")
        await receiver.send("POST", data={"logout_token": "x" * 40_000})
        await receiver.post(op.token(iss="https://elsewhere.example"))
        assert 4 == count(receiver, "junk")

    assert [] == records(path)


def count(receiver: Receiver, result: str) -> float:
    """The value of `logout_audit_records_total`."""
    metric = "logout_audit_records_total"
    return receiver.server.metrics.registry.get_sample_value(metric, {"result": result}) or 0.0


async def test_token_that_waited_for_its_key(start: Any, op: OP, path: Path) -> None:
    """What became of a held token is a record of its own."""
    async with start(keys={"held_tokens": 1}) as receiver:
        await receiver.post(op.token())
        for jti in ("j1", "j2"):
            await receiver.post(op.token(jti=jti, key=rsa_pair("k2"), header={"kid": "k2"}))

    assert [("accepted", True), ("held", False), ("displaced", False), ("held", False)] == [
        (record["decision"], record.get("verified", True)) for record in records(path)
    ]


async def test_flood_of_refusals_is_bounded(start: Any, op: OP, path: Path) -> None:
    """Refusals beyond the limit of a second are counted, in the log as well; logouts are recorded all the same."""
    async with start(audit={"refused_per_s": 2}) as receiver:
        for _ in range(5):
            await receiver.post(op.token(aud="c9"))
        await receiver.post(op.token())
        assert 3 == count(receiver, "limited")

    found = records(path)
    assert ["accepted", "refused", "refused"] == sorted(r["decision"] for r in found if r["decision"] != "omitted")
    assert 3 == sum(record["limited"] for record in found if record["decision"] == "omitted")


def rotate(path: Path) -> None:
    """Give the file another name, as a tool for rotation does."""
    path.rename(path.with_suffix(".1"))


def fill_disk(path: Path) -> None:
    """From now on no room is left for what is written there."""
    path.symlink_to("/dev/full")


def free_disk(path: Path) -> None:
    """There is room again."""
    path.unlink()


def texts(*paths: Path) -> list[str]:
    """What is in these files."""
    return [path.read_text(encoding="utf-8") for path in paths]


async def test_full_disk_stops_no_logout(start: Any, op: OP, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Logouts go on while records cannot be written; it is logged once, shown by the job, and made up for later."""
    caplog.set_level(logging.INFO, "receiver.audit")
    async with start() as receiver:
        job = receiver.server.jobs
        rotate(path)
        fill_disk(path)
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        await until(lambda: job.report()["audit_log"] != "ok")
        assert 200 == (await receiver.post(op.token(jti="j2"))).status
        free_disk(path)
        await until(lambda: job.report()["audit_log"] == "ok")

    lines = "".join(texts(path.with_suffix(".1"), path)).splitlines()
    assert read(lines, parse_keys(KEY)).is_good
    assert ["started", "j1", "j2", "ended"] == [
        record.get("jti") or record["decision"] for record in map(json.loads, lines)
    ]
    messages = [record.getMessage() for record in caplog.records]
    assert [1, 1] == [messages.count("audit.failed"), messages.count("audit.recovered")]


async def test_records_kept_for_a_failing_writer_are_bounded(start: Any, op: OP, path: Path) -> None:
    """Beyond `max_waiting` records are lost; the log says how many once it can be written again."""
    async with start(audit={"max_waiting": 100}) as receiver:
        job = receiver.server.jobs
        free_disk(path)
        fill_disk(path)
        await receiver.post(op.token())
        await until(lambda: job.report()["audit_log"] != "ok")
        await asyncio.gather(*(receiver.post(op.token()) for _ in range(120)))
        lost = count(receiver, "lost")
        assert lost >= 19
        free_disk(path)
        await until(lambda: job.report()["audit_log"] == "ok")

    found = [json.loads(line) for line in texts(path)[0].splitlines()]
    assert lost == sum(record["lost"] for record in found if record["decision"] == "omitted")


async def test_rotated_file(start: Any, op: OP, path: Path) -> None:
    """Once the file has another name, a new one takes the records; the chain goes on."""
    async with start() as receiver:
        await receiver.post(op.token(jti="j1"))
        await until(lambda: "j1" in texts(path)[0])
        rotate(path)
        await receiver.post(op.token(jti="j2"))
        await until(path.exists)

    first, second = texts(path.with_suffix(".1"), path)
    assert [True, True] == ["j1" in first, "j2" in second]
    assert read((first + second).splitlines(), parse_keys(KEY)).is_good


async def test_each_process_has_a_chain(start: Any, path: Path) -> None:
    """A receiver started again goes on in the same file with a chain of its own."""
    for _ in range(2):
        async with start():
            pass

    reading = read(texts(path)[0].splitlines(), parse_keys(KEY))
    assert ([True, True], True) == ([chain.ended for chain in reading.chains.values()], reading.is_good)


async def test_two_receivers_do_not_share_a_file(start: Any) -> None:
    """The second one is told at its start."""
    async with start():
        with pytest.raises(ConfigurationError) as error:
            async with start():
                pass

    assert "audit.path" in error.value.message


def test_line_that_does_not_fit_is_taken_back(path: Path) -> None:
    """Of a write that the disk took in part nothing is left, so that it can be written again."""
    file = File(path)
    file.write("a" * 100 + "\n")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.write("b" * 100 + "\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    file.write("c" * 100 + "\n")
    file.close()

    assert ["a" * 100, "c" * 100] == path.read_text().splitlines()


def test_line_torn_by_a_kill_ends(path: Path) -> None:
    """What a killed process left of a line does not run into the next record."""
    path.write_text('{"audit":1,"ch')
    file = File(path)
    file.write("b\n")
    file.close()

    assert ['{"audit":1,"ch', "b"] == path.read_text().splitlines()


async def test_standard_output(start: Any, op: OP, capfd: pytest.CaptureFixture[str]) -> None:
    """With `-` the records are lines of standard output."""
    async with start(audit={"path": "-"}) as receiver:
        await receiver.post(op.token())

    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith('{"audit":')]
    assert ["started", "accepted", "ended"] == [json.loads(line)["decision"] for line in lines]
    assert read(lines, parse_keys(KEY)).is_good


def test_only_its_owner_can_read_the_file(path: Path) -> None:
    """The file is made without rights for others."""
    File(path).close()

    assert 0o600 == path.stat().st_mode & 0o777

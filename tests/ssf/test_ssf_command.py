"""`receiver ssf`: the stream at the transmitter is made, looked at, proved and ended from the command line."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from receiver.cli import main
from tests.support.receiver import t1
from tests.support.transmitter import CLIENT, CREDENTIAL_CHANGE, POLL, PUSH, REVOKED, SECRET, Transmitter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.bus.streams import StreamNotes
    from tests.support.clock import Clock

PUSH_URL = "https://logout.example/ssf/t1"


@pytest.fixture
def ssf(
    tmp_path: Path, transmitter: Transmitter, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:  # fmt: skip
    """Runs `receiver ssf …` for a tenant with these settings; exit code, and the report or what was said."""
    del redis_client

    async def run(*arguments: str, tenant: str = "t1", **settings: Any) -> tuple[int, Any]:
        section = {"access": {"client_id": CLIENT, "client_secret": SECRET}, **settings}
        config = {
            "public": {"url": "https://logout.example/"},
            "redis": {"url": redis_server.url},
            "tenants": [t1(transmitter, ssf=section), {**t1(transmitter), "name": "t2", "issuer": "https://b.example"}],
        }
        file = tmp_path / "receiver.yaml"
        file.write_text(yaml.safe_dump(config))
        [command, *rest] = arguments
        line = ["ssf", command, tenant, *rest, "--config", str(file)]
        # In a thread, because the transmitter answers in this one.
        code = await asyncio.get_running_loop().run_in_executor(None, functools.partial(main, line))
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else err

    return run


async def test_create_push(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """It asks for the events that sign out, pushed to our address with our header; the header is not shown."""
    code, report = await ssf("create", push_authorization="Bearer secret")

    assert (0, True, []) == (code, report["created"], report["hints"])
    assert transmitter.stream is not None
    assert {"method": PUSH, "endpoint_url": PUSH_URL, "authorization_header": "Bearer secret"} == transmitter.stream[
        "delivery"
    ]
    assert {REVOKED, CREDENTIAL_CHANGE} <= set(transmitter.stream["events_requested"])
    assert "secret" not in json.dumps(report)
    assert transmitter.stream["stream_id"] == report["stream_id"]


async def test_create_again(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """A stream that is there is brought up to date."""
    await ssf("create")
    there = transmitter.stream

    code, report = await ssf("create", "--push-url", "https://other.example/ssf/t1", evict_on=["session-revoked"])

    assert (0, False) == (code, report["created"])
    assert there is not None
    assert transmitter.stream is not None
    assert there["stream_id"] == transmitter.stream["stream_id"]
    assert "https://other.example/ssf/t1" == transmitter.stream["delivery"]["endpoint_url"]
    assert [REVOKED] == transmitter.stream["events_requested"]


async def test_create_that_changes_nothing(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """A stream that is as asked is left alone: a transmitter may forget what is its own when it is told again."""
    for settings in ({"delivery": "poll"}, {"push_authorization": "Bearer secret"}):
        transmitter.stream, transmitter.changes = None, []
        await ssf("create", **settings)
        there = transmitter.stream

        code, report = await ssf("create", **settings)
        assert (0, False, there) == (code, report["created"], transmitter.stream)
        assert ["POST"] == [method for method, _ in transmitter.changes]


async def test_create_changes_what_differs(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """Only what is other than asked is sent, and what is polled keeps its address."""
    await ssf("create", delivery="poll")
    await ssf("create", delivery="poll", evict_on=["session-revoked"])
    await ssf("create", delivery="push", evict_on=["session-revoked"])
    await ssf("create", delivery="push", push_authorization="Bearer secret", evict_on=["session-revoked"])
    code, report = await ssf("create", delivery="poll", evict_on=["session-revoked"])

    told = [{*asked} - {"stream_id"} for _, asked in transmitter.changes[1:]]
    assert [{"events_requested"}, {"delivery"}, {"delivery"}, {"delivery"}] == told
    assert (0, {"method": POLL, "endpoint_url": f"{transmitter.issuer}/poll"}) == (code, report["delivery"])


async def test_create_mends_a_stream_without_an_address(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """One that the transmitter shows no address of cannot be polled: it is ended and made anew."""
    await ssf("create", delivery="poll")
    assert transmitter.stream is not None
    before = transmitter.stream["stream_id"]
    del transmitter.stream["delivery"]["endpoint_url"]
    hints = (await ssf("status", delivery="poll"))[1]["hints"]

    code, report = await ssf("create", delivery="poll")
    assert ([1], 0, True, []) == ([len(hints)], code, report["created"], report["hints"])
    assert before != report["stream_id"]
    assert f"{transmitter.issuer}/poll" == report["delivery"]["endpoint_url"]


@pytest.mark.parametrize("before", ["nothing", "a stream", "a broken stream"])
async def test_create_after_the_transmitters_own_fault(
    ssf: Callable[..., Any], transmitter: Transmitter, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answers 500 and does all the same is found done when it is asked again."""
    monkeypatch.setattr("receiver.outbound.transmitter.CHANGE_PAUSES_S", (0.0, 0.0))
    if before != "nothing":
        await ssf("create", delivery="poll", evict_on=["credential-change"])
    if before == "a broken stream":
        assert transmitter.stream is not None
        del transmitter.stream["delivery"]["endpoint_url"]
    transmitter.fails_after = 2

    code, report = await ssf("create", delivery="poll", evict_on=["session-revoked"])
    assert (0, []) == (code, report["hints"])
    assert transmitter.stream is not None
    assert [REVOKED] == transmitter.stream["events_requested"]
    assert f"{transmitter.issuer}/poll" == report["delivery"]["endpoint_url"]


async def test_create_that_cannot_work(
    ssf: Callable[..., Any], transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream whose events would be refused is made, one line says why, and the command fails."""
    said: list[str] = []
    monkeypatch.setattr("receiver.cli.ssf.complain", said.append)
    transmitter.stream_aud = ["another"]

    code, report = await ssf("create")
    assert (1, True) == (code, report["created"])
    assert (report["hints"], 1) == (said, len(said))
    assert "ssf.audience" in said[0]


async def test_create_poll(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """With delivery: poll the transmitter says where to."""
    code, report = await ssf("create", delivery="poll")

    assert (0, {"method": POLL, "endpoint_url": f"{transmitter.issuer}/poll"}) == (code, report["delivery"])


async def test_status(ssf: Callable[..., Any], transmitter: Transmitter, notes: StreamNotes, clock: Clock) -> None:
    """It shows what both sides know, changes the status, and says what does not fit."""
    await ssf("create")
    await notes.update("t1", "paused", "maintenance", clock())
    await notes.verify("t1", None, clock())
    await notes.refuse("t1", "audience", clock())

    code, report = await ssf("status", "--change-to", "disabled", audience=["other"], delivery="poll", stream_id=None)

    assert (0, "disabled", "disabled") == (code, report["status"], transmitter.stream_status)
    assert {
        "status": "paused", "reason": "maintenance", "status_at": clock(), "verified_at": clock(),
        "refused_at": clock(), "refused_for": "audience",
    } == report["last_heard"]  # fmt: skip
    assert 2 == len(report["hints"])


async def test_verify(ssf: Callable[..., Any], transmitter: Transmitter, redis_client: redis.asyncio.Redis) -> None:
    """Exit 0 once a receiver has taken the verification in, 1 when none has in time."""
    await ssf("create")
    assert (1, False) == ((answer := await ssf("verify", "--wait", "0"))[0], answer[1]["verified"])

    waiting = asyncio.ensure_future(ssf("verify", "--wait", "20"))
    while len(transmitter.waiting) < 2:
        await asyncio.sleep(0.01)
    for key in await redis_client.keys("*:state:*"):
        await redis_client.set(key, "verified")
    assert (0, True) == ((answer := await waiting)[0], answer[1]["verified"])


async def test_subjects(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """Users are added and removed by `sub` and by address."""
    await ssf("create")
    subject = {"format": "iss_sub", "iss": transmitter.issuer, "sub": "u1"}

    assert {"added": subject}.items() <= (await ssf("subjects", "add", "--sub", "u1"))[1].items()
    await ssf("subjects", "add", "--email", "ann@example.com")
    assert 0 == (await ssf("subjects", "remove", "--sub", "u1"))[0]
    assert [{"format": "email", "email": "ann@example.com"}] == transmitter.subjects


async def test_delete(ssf: Callable[..., Any], transmitter: Transmitter) -> None:
    """The stream is gone, and a second time there is none."""
    await ssf("create")

    assert (0, True) == ((answer := await ssf("delete"))[0], answer[1]["deleted"])
    assert transmitter.stream is None
    assert 1 == (await ssf("delete"))[0]


@pytest.mark.parametrize(
    ("change", "code"), [({"refuse": 403}, 1), ({"status": 500}, 1), ({"verify_status": 429}, 1)], ids=str
)
async def test_transmitter_that_refuses(
    ssf: Callable[..., Any], transmitter: Transmitter, change: dict[str, int], code: int
) -> None:
    """One line on stderr, exit 1."""
    await ssf("create")
    for name, value in change.items():
        setattr(transmitter, name, value)

    answered, said = await ssf("verify", "--wait", "0")
    assert (code, 1) == (answered, said.count("\n"))


@pytest.mark.parametrize("settings", [{"tenant": "t2"}, {"tenant": "t9"}, {"access": None}], ids=str)
async def test_what_is_not_configured(ssf: Callable[..., Any], settings: dict[str, Any]) -> None:
    """A tenant without the section, or without access, is a fault of the configuration: exit 2."""
    assert 2 == (await ssf("status", **settings))[0]

"""What each token may do, how tokens are written, and who is told of one that may do everything."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.diagnosis.doctor import examine
from receiver.errors import ConfigurationError
from receiver.ops.api_tokens import ALL_SCOPES, parse_tokens
from receiver.ops.settings import Settings, load
from tests.api.conftest import TOKEN, Api
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

SECRET = "0123456789abcdef-"
TOKENS = "\n".join(f"{scope}-app {scope} {SECRET}{scope}" for scope in sorted(ALL_SCOPES))

CALLS = {
    ("POST", "/evictions"): "orders", ("GET", "/evictions/abc"): "read", ("GET", "/evictions?jti=j"): "read",
    ("PUT", "/sessions"): "sessions", ("POST", "/sessions/check"): "sessions", ("GET", "/events"): "events",
}  # fmt: skip


@pytest.fixture
async def scoped(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """A receiver with one token for each scope."""
    internal = {"token": f"# one for each\n\n{TOKENS}"}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], internal=internal) as receiver:
        yield receiver


def caller(receiver: Receiver, scope: str) -> Api:
    """Who calls with the token of one scope."""
    api = Api(receiver)
    api.token = SECRET + scope
    return api


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_each_call_needs_its_scope(scoped: Receiver, call: tuple[str, str]) -> None:
    """Only the token with the scope of a call gets beyond 403; the others are told which scope is needed."""
    method, path = call
    for scope in ALL_SCOPES - {CALLS[call]}:
        status, body, headers = await caller(scoped, scope).call(method, path, {"tenant": "t1", "sub": "u1"})
        assert (403, "insufficient_scope") == (status, body["error_description"])
        assert f'scope="{CALLS[call]}"' in headers["WWW-Authenticate"]
    assert [] == await scoped.events()

    api = caller(scoped, CALLS[call])
    if CALLS[call] == "events":
        async with api.feed():
            return
    assert 403 != (await api.call(method, path, {"tenant": "t1", "sub": "u1"}))[0]


async def test_paths_that_do_not_exist_need_no_scope(scoped: Receiver) -> None:
    """Any token is told 404 and 405."""
    api = caller(scoped, "read")

    assert [404, 405] == [(await api.call(*call))[0] for call in (("GET", "/nothing"), ("DELETE", "/sessions"))]


async def test_log_line_names_the_token(scoped: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """The line of an order and of a refused call has the name of its token, never the token."""
    caplog.set_level(logging.INFO, "receiver")
    await caller(scoped, "orders").evict("u1")
    await caller(scoped, "orders").call("POST", "/evictions", {})
    await caller(scoped, "read").call("POST", "/evictions", {})

    lines: list[tuple[str, dict[str, Any]]] = [
        (record.getMessage(), record.fields)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.name in {"receiver.api", "receiver.request"}
    ]
    assert [
        ("logout.accepted", "orders-app"), ("logout.rejected", "orders-app"), ("api.refused", "read-app"),
    ] == [(event, fields["caller"]) for event, fields in lines]  # fmt: skip
    assert SECRET not in str(lines)


async def test_unscoped_token_is_told_of_at_the_start(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A token alone on its line does everything, and the start says so."""
    assert 202 == (await api.call("POST", "/evictions", {"tenant": "t1", "sub": "u1"}))[0]
    warnings = [record for record in caplog.get_records("setup") if record.getMessage() == "api.unscoped_tokens"]
    assert [["line-1", "line-2"]] == [record.fields["tokens"] for record in warnings]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "outcome"), [(TOKEN, "warning"), (TOKENS, "ok"), ("", None)], ids=["alone", "scoped", "no API"]
)
async def test_doctor_looks_at_the_tokens(text: str, outcome: str | None) -> None:
    """`receiver doctor` warns of a token that may do everything."""
    settings = Settings(internal={"token": text} if text else {}, redis={"url": "embedded"})

    found = [check.outcome for check in await examine(settings) if check.area == "api"]

    assert ([outcome] if outcome else []) == found


GOOD = "0123456789abcdef"
BAD = {
    "short": "short",
    "not for a header": "ümlaut-0123456789abcdef",
    "empty": '""',
    "two words": f"name {GOOD}",
    "four words": f"name orders {GOOD} more",
    "unknown scope": f"name orders,admin {GOOD}",
    "a scope twice": f"name read,read {GOOD}",
    "bad name": f"Name read {GOOD}",
    "same name": f"name read {GOOD}\nname read {GOOD}x",
    "same token": f"a read {GOOD}\nb read {GOOD}",
    "only comments": "# nothing",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_bad_tokens_do_not_start(tmp_path: Path, text: str) -> None:
    """A line that is no token, or could be guessed, is an error at the start that quotes no token."""
    file = tmp_path / "token"
    file.write_text(text)

    with pytest.raises(ConfigurationError) as error:
        assert load(None, [f"internal.token_file={file}"]).internal.tokens
    assert "token" in str(error.value)
    assert GOOD not in str(error.value)
    with pytest.raises(ValueError, match="token"):
        parse_tokens(text)


def test_lines_of_a_file(tmp_path: Path) -> None:
    """Names, scopes and tokens are read; a token alone has every scope; file and setting at once are an error."""
    file = tmp_path / "token"
    file.write_text(f"# help desk\nhelpdesk orders,read {GOOD}a=\n\n{GOOD}b\n")
    tokens = load(None, [f"internal.token_file={file}"]).internal.tokens

    assert [("helpdesk", {"orders", "read"}, True), ("line-4", ALL_SCOPES, False)] == [
        (token.name, token.scopes, token.scoped) for token in tokens
    ]
    assert GOOD not in repr(tokens)
    with pytest.raises(ConfigurationError, match="not both"):
        load(None, [f"internal.token_file={file}", f"internal.token={GOOD}"])

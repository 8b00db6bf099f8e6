"""Events asked for by what does not say where they stand: looked up where that is remembered, searched in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.core.eviction import eviction_id
from receiver.ingress.api import traces

if TYPE_CHECKING:
    from tests.api.conftest import Api
    from tests.support.op import OP


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search reads two events."""
    monkeypatch.setattr(traces, "SEARCHED", 2)


@pytest.mark.usefixtures("_few")
async def test_a_jti_needs_no_search_while_it_is_remembered(api: Api, op: OP) -> None:
    """The place of a token's event follows from issuer and jti, however many events came later."""
    for number in range(4):
        await api.receiver.post(op.token(jti=f"j{number}"))

    for jti in ("j0", "j3"):
        status, body, _ = await api.call("GET", "/evictions", params={"jti": jti})
        assert (200, jti) == (status, body["jti"])


@pytest.mark.usefixtures("_few")
async def test_search_ends_and_says_so(api: Api, op: OP) -> None:
    """What is not among the events that are read, while the stream holds more, is 404 with a code of its own."""
    for number in range(3):
        await api.receiver.post(op.token(jti=f"j{number}"))
        await api.receiver.redis.delete(f"{{logout}}:jti:{eviction_id(op.issuer, f'j{number}')}")

    for path in ("/evictions?jti=j0", "/evictions?jti=never", f"/evictions/{eviction_id(op.issuer, 'j0')}"):
        status, body, _ = await api.call("GET", path)
        assert (404, "search_limit") == (status, body["error_description"])
    assert 200 == (await api.call("GET", "/evictions?jti=j1"))[0]


@pytest.mark.usefixtures("_few")
async def test_whole_stream_searched(api: Api, op: OP) -> None:
    """Where every event was read, the answer is that there is none."""
    for _ in range(2):
        await api.receiver.post(op.token())

    status, body, _ = await api.call("GET", "/evictions?jti=never")

    assert (404, "unknown_event") == (status, body["error_description"])


async def test_too_many_searches_are_refused(api: Api, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches are limited; what needs none is answered all the same."""
    monkeypatch.setattr(traces, "MAX_WAITING", 0)
    await api.receiver.post(op.token(jti="j1"))

    status, body, headers = await api.call("GET", "/evictions?jti=never")

    assert (429, "busy") == (status, body["error_description"])
    assert headers["Retry-After"]
    assert 200 == (await api.call("GET", "/evictions?jti=j1"))[0]


async def test_text_that_json_escapes_is_found(api: Api, op: OP) -> None:
    """A search finds a jti with quotes, backslashes and letters of any alphabet."""
    jti = 'a"b\\ü'
    await api.receiver.post(op.token(jti=jti))
    await api.receiver.redis.delete(f"{{logout}}:jti:{eviction_id(op.issuer, jti)}")

    status, body, _ = await api.call("GET", "/evictions", params={"jti": jti})

    assert (200, jti) == (status, body["jti"])


@pytest.mark.parametrize("remembered", [True, False])
async def test_all_events_of_a_jti(api: Api, op: OP, *, remembered: bool) -> None:
    """Of a jti that was used again every event is shown, the newest first; each is found by its own id alone."""
    for sub in ("u1", "u2", "u3"):
        await api.receiver.post(op.token(jti="j1", sub=sub))
    if not remembered:
        for key in await api.receiver.redis.keys("{logout}:jti:*"):
            await api.receiver.redis.delete(key)
    ids = [event["id"] for event in await api.receiver.events()]

    status, body, _ = await api.call("GET", "/evictions", params={"jti": "j1"})

    assert (200, ids[::-1]) == (status, [body["id"], *(other["id"] for other in body["others"])])
    assert {"j1"} == {body["jti"], *(other["jti"] for other in body["others"])}
    for event_id in ids:
        status, body, _ = await api.call("GET", f"/evictions/{event_id}")
        assert (200, event_id, False) == (status, body["id"], "others" in body)

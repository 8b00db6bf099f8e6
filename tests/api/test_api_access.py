"""Who may call, and what is answered to a call that is wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.conftest import TOKEN, Api

if TYPE_CHECKING:
    from tests.support.receiver import Receiver

CALLS = [
    ("POST", "/evictions"), ("GET", "/evictions/abc"), ("GET", "/evictions"), ("PUT", "/sessions"),
    ("POST", "/sessions/check"), ("GET", "/events"), ("GET", "/nothing"), ("DELETE", "/sessions"),
]  # fmt: skip

WRONG = {
    "none": "", "another": "Bearer 0123456789abcdef-other", "a part": f"Bearer {TOKEN[:-1]}",
    "longer": f"Bearer {TOKEN}x",
    "another scheme": f"Basic {TOKEN}", "no scheme": TOKEN, "empty": "Bearer ", "not ASCII": "Bearer \xff\xfe",
}  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("authorization", WRONG.values(), ids=WRONG.keys())
async def test_without_a_token_nothing_is_answered(api: Api, method: str, path: str, authorization: str) -> None:
    """401 for whatever path, so that nobody without a token learns which there are."""
    status, body, headers = await api.call(method, path, {}, headers={"Authorization": authorization})

    assert (401, "unauthorized") == (status, body["error_description"])
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert {"error", "error_description"} == set(body)


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", "bearer 0123456789abcdef-second"])
async def test_each_token_is_good(api: Api, authorization: str) -> None:
    """Both tokens of a rotation are accepted, and the scheme's case does not matter (RFC 9110)."""
    status, _, _ = await api.call("GET", "/evictions/abc", headers={"Authorization": authorization})

    assert status == 404


async def test_no_token_configured_is_no_api(receiver: Receiver) -> None:
    """Without a token in the settings everything is 404, whatever the caller shows."""
    for method, path in CALLS:
        status, body, _ = await Api(receiver).call(method, path, {})
        assert (404, "no_route") == (status, body["error_description"])


async def test_no_token_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A refused call or order is one log line with its code; neither path, token nor body is in it."""
    caplog.set_level(logging.DEBUG)
    await api.call("GET", "/evictions/somebodys-event", headers={"Authorization": "Bearer a-wrong-token"})
    await api.call("POST", "/evictions", {"tenant": "t1", "sub": "alice", "sud": "alice-session"})

    records = [record for record in caplog.records if record.name in {"receiver.api", "receiver.request"}]
    fields: list[dict[str, Any]] = [record.fields for record in records]  # type: ignore[attr-defined]
    lines = [str(each) for each in fields]
    assert ["api.refused", "logout.rejected"] == [record.getMessage() for record in records]
    assert ("/v1/evictions/{id}", "unauthorized") == (fields[0]["route"], fields[0]["code"])
    assert ("admin", "malformed") == (fields[1]["input"], fields[1]["code"])
    for secret in ("somebodys-event", "a-wrong-token", TOKEN, "alice"):
        assert secret not in caplog.text + "".join(lines)


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "not JSON": ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed"),
    "a list": ({"json": []}, 400, "malformed"),
    "a name twice": (
        {"data": b'{"tenant":"t1","tenant":"t1"}', "headers": {"Content-Type": "application/json"}},
        400, "duplicate_member",
    ),
    "a form": ({"data": {"tenant": "t1"}}, 400, "media_type"),
    "huge": ({"json": {"tenant": "t" * 70_000}}, 413, "too_large"),
    "compressed": ({"json": {}, "headers": {"Content-Encoding": "x-own"}}, 400, "content_encoding"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/evictions"), ("PUT", "/sessions"), ("POST", "/sessions/check")]
)
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_bad_body_is_refused(api: Api, method: str, path: str, case: tuple[dict[str, Any], int, str]) -> None:
    """A body that is not one plain JSON object is refused with its code and a sentence for the caller."""
    options, status, code = case
    answered, body, headers = await api.call(method, path, **options)

    assert (status, code, True) == (answered, body["error_description"], bool(body["detail"]))
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"sub": 7}, "sub is not a string of 1 to 512 plain characters"),
        ({"logout_at": "now"}, "logout_at is not a number of seconds since 1970"),
        ({"tenant": None}, "tenant is missing"),
        ({"x\ny": 1}, "a member is not a member of this call"),
        ({"x\ud800": 1}, "the name of a member is no text"),
    ],
    ids=["type", "date", "missing", "name of a member", "half a character"],
)
async def test_refusal_says_which_member(api: Api, members: dict[str, Any], said: str) -> None:
    """The detail names the member that is wrong, and none of the values."""
    _, body, _ = await api.call("POST", "/evictions", {"tenant": "t1", "sub": "u1", **members})

    assert body["detail"].startswith(said)


async def test_wrong_method_is_told_the_right_one(api: Api) -> None:
    """405 names the methods of that path."""
    status, body, headers = await api.call("DELETE", "/sessions")

    assert (405, "method", "PUT") == (status, body["error_description"], headers["Allow"])
    assert 1 == api.metric("logout_api_requests_total", route="other", status="405")

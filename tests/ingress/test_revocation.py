"""Global Token Revocation: a caller with a token of its own kind ends every session of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.names import MAX_SUBJECTS, Names
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.core.index_names import PLAIN
from receiver.core.sign_in import SignIn
from receiver.ops.settings import Settings
from tests.support.clock import NOW, Clock
from tests.support.keys import rsa_pair
from tests.support.op import ABSENT, OP, encode_token
from tests.support.receiver import Answer, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

URL = "https://logout.example.com/sso"
AUDIENCE = URL + "/global-token-revocation/t1"
TOKEN = "0123456789abcdef-first"


@pytest.fixture
async def receiver(
    request: pytest.FixtureRequest,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
) -> AsyncIterator[Receiver]:
    """A receiver whose tenant t1 takes revocations in."""
    tenants = [
        t1(op, global_revocation=getattr(request, "param", {})),
        {"name": "t2", "issuer": op.issuer + "/other", "client_ids": ["c2"]},
    ]
    internal = {"token": f"desk orders,sessions {TOKEN}"}
    async with start_receiver(
        redis_server.url, redis_client, clock, tenants, public={"url": URL}, internal=internal
    ) as receiver:
        yield receiver


def caller_token(op: OP, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
    """The token Okta sends, with some members changed."""
    claims = {
        "iss": op.issuer, "sub": "c1", "aud": AUDIENCE, "exp": NOW + 300, "nbf": NOW - 300, "jti": "r1", **changes,
    }  # fmt: skip
    head = {"alg": "RS256", "kid": op.signing_key.kid, "typ": "global-token-revocation+jwt", **(header or {})}
    parts = [{k: v for k, v in part.items() if v is not ABSENT} for part in (head, claims)]
    return encode_token(parts[0], parts[1], key or op.signing_key)


def of(op: OP, sub: str = "u1") -> dict[str, Any]:
    """A body that names a subject."""
    return {"sub_id": {"format": "iss_sub", "iss": op.issuer, "sub": sub}}


async def revoke(receiver: Receiver, token: str | None, body: Any, tenant: str = "t1", **options: Any) -> Answer:
    """What the OP sends."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await receiver.send("POST", f"/global-token-revocation/{tenant}", json=body, headers=headers, **options)


async def test_every_session_of_the_user_ends(receiver: Receiver, op: OP) -> None:
    """204 once it is durable; the event is about the user, from now on, by its own kind of input."""
    answer = await revoke(receiver, caller_token(op), of(op))

    [event] = await receiver.events()
    data = event["data"]
    assert (204, "", "no-store") == (answer.status, answer.text, answer.headers["Cache-Control"])
    assert ("user", "u1", None, "revocation", NOW) == (
        data["scope"], data["sub"], data["sid"], data["input"], data["logout_at"],
    )  # fmt: skip
    assert "tenant" == data["applies_to"]


@pytest.mark.parametrize(
    "subject",
    [
        {"sub_id": {"format": "opaque", "id": "u1"}},
        {"subject": {"format": "opaque", "id": "u1"}},
    ],
    ids=["opaque", "older member"],
)
async def test_other_ways_to_name_the_user(receiver: Receiver, op: OP, subject: Any) -> None:
    """An opaque id is the sub at this tenant; Okta's older name of the member is taken, too."""
    assert 204 == (await revoke(receiver, caller_token(op), subject)).status
    assert ["u1"] == [event["data"]["sub"] for event in await receiver.events()]


async def register(receiver: Receiver, op: OP, **members: Any) -> None:
    """An app registers a sign-in over HTTP."""
    sign_in = {"iss": op.issuer, "client_id": "c1", "sub": "u1", "auth_time": NOW - 60, "lifetime_s": 600, **members}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with receiver.http.put(receiver.internal + "/v1/sessions", json=sign_in, headers=headers) as response:
        assert 200 == response.status


def by_mail(address: str) -> dict[str, Any]:
    """A body that names an address."""
    return {"sub_id": {"format": "email", "email": address}}


async def test_verified_address(receiver: Receiver, op: OP) -> None:
    """An address that an app has registered as verified is that of its user; letter case does not matter."""
    await register(receiver, op, email="Alice@Example.com", email_verified=True)

    assert 204 == (await revoke(receiver, caller_token(op), by_mail("alice@example.COM"))).status
    assert ["u1"] == [event["data"]["sub"] for event in await receiver.events()]


@pytest.mark.parametrize("verified", [False, None])
async def test_address_that_is_not_verified(receiver: Receiver, op: OP, verified: bool | None) -> None:
    """What a user has typed names no other user: 404, and nothing is published."""
    await register(receiver, op, email="alice@example.com", email_verified=verified)

    answer = await revoke(receiver, caller_token(op), by_mail("alice@example.com"))

    assert (404, "unknown_user") == (answer.status, answer.code)
    assert [] == await receiver.events()


async def test_address_of_several_subjects(receiver: Receiver, op: OP) -> None:
    """With pairwise subjects one address is that of several; all of them are signed out, and a repeat is none."""
    for sub in ("u1", "u2"):
        await register(receiver, op, sub=sub, email="alice@example.com", email_verified=True)
    for _ in range(2):
        await revoke(receiver, caller_token(op), by_mail("alice@example.com"))

    assert ["u1", "u2"] == sorted(event["data"]["sub"] for event in await receiver.events())


async def test_address_is_erased(receiver: Receiver, op: OP) -> None:
    """An erased address is no longer known; erasing it again says so."""
    await register(receiver, op, email="alice@example.com", email_verified=True, username="alice")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    erased = []
    for call in ({"email": "ALICE@example.com"}, {"email": "alice@example.com"}, {"username": "alice"}):
        url = receiver.internal + "/v1/names/erase"
        async with receiver.http.post(url, json={"tenant": "t1", **call}, headers=headers) as response:
            erased.append(await response.json())

    assert [{"erased": True}, {"erased": False}, {"erased": True}] == erased
    assert 404 == (await revoke(receiver, caller_token(op), by_mail("alice@example.com"))).status


async def test_names_expire_and_are_bounded(redis_client: redis.asyncio.Redis, clock: Clock) -> None:
    """A name is forgotten after its lifetime, each subject by itself, and is that of a bounded number of them."""
    names = Names(redis_client, KeyNames(), PLAIN, clock=clock)
    await names.note("username", "alice", iss="i", sub="u1", lifetime_s=100)
    await names.note("username", "alice", iss="i", sub="u2", lifetime_s=300)
    clock.advance(200)

    assert [("i", "u2")] == await names.subjects("username", "alice", ["i", "j"])
    for n in range(MAX_SUBJECTS + 5):
        await names.note("username", "robot", iss="i", sub=f"u{n}", lifetime_s=100)
    assert MAX_SUBJECTS == len(await names.subjects("username", "robot", ["i"]))


async def test_damaged_names(redis_client: Any, clock: Clock) -> None:
    """Entries that are not as this service writes them name no user, and the others are found."""
    names = Names(redis_client, KeyNames(), PLAIN, clock=clock)
    await names.note("username", "alice", iss="i", sub="u1", lifetime_s=100)
    [key] = await redis_client.keys(KeyNames().name("*"))
    damaged = {b"u2": b"9" * 11, b'"u3"': b"soon", b'["u4"]': b"9" * 11, b'""': b"9" * 11, b'"u5"': b"9" * 500}
    await redis_client.hset(key, mapping=damaged)

    assert [("i", "u1")] == await names.subjects("username", "alice", ["i"])
    await names.note("username", "alice", iss="i", sub="u3", lifetime_s=100)
    assert {"u1", "u3"} == {sub for _, sub in await names.subjects("username", "alice", ["i"])}


@pytest.mark.parametrize("receiver", [{"unknown_status": 404}], indirect=True)
async def test_unknown_user_is_marked(receiver: Receiver, redis_client: Any, op: OP, clock: Clock) -> None:
    """Of a user who is not known a later registration of an earlier sign-in is refused; 404 where it is set."""
    answer = await revoke(receiver, caller_token(op), of(op))

    sign_in = SignIn(iss=op.issuer, client_ids=("c1",), sub="u1", auth_time=NOW - 60)
    assert (await SignIns(lambda: redis_client, KeyNames(), clock=clock).register(sign_in, lifetime_s=600)).ended
    assert (404, 1) == (answer.status, len(await receiver.events()))


@pytest.mark.parametrize("receiver", [{"unknown_status": 404}], indirect=True)
async def test_known_user(receiver: Receiver, op: OP) -> None:
    """204 for a user with a registered session."""
    await register(receiver, op)

    assert 204 == (await revoke(receiver, caller_token(op), of(op))).status


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ({"header": {"typ": ABSENT}}, "typ"),
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"cty": "JWT"}}, "typ"),
        ({"aud": URL}, "audience"),
        ({"aud": ABSENT}, "audience"),
        ({"aud": ["c1"]}, "audience"),
        ({"sub": "c2"}, "audience"),
        ({"sub": ABSENT}, "audience"),
        ({"exp": NOW - 61}, "expired"),
        ({"exp": ABSENT}, "exp_missing"),
        ({"exp": NOW + 86_400}, "too_old"),
        ({"exp": "soon"}, "malformed"),
        ({"nbf": NOW + 61}, "not_yet_valid"),
        ({"iat": NOW + 61}, "iat_future"),
        ({"iat": True}, "malformed"),
        ({"jti": ABSENT}, "jti_missing"),
        ({"iss": "https://elsewhere.example"}, "issuer"),
        ({"key": rsa_pair("k2")}, "signature"),
        ({"header": {"alg": "RS512"}}, "alg"),
    ],
)
async def test_caller_is_not_believed(receiver: Receiver, op: OP, token: dict[str, Any], code: str) -> None:
    """401 for everything wrong with the caller's token, and nothing is published."""
    if "key" in token:
        token = {**token, "header": {"kid": "k1"}}

    answer = await revoke(receiver, caller_token(op, **token), of(op))

    assert (401, code) == (answer.status, answer.code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert [] == await receiver.events()


async def test_typ_in_other_spellings(receiver: Receiver, op: OP) -> None:
    """Media types are compared without case, and `application/` may stand before them."""
    token = caller_token(op, header={"typ": "Application/Global-Token-Revocation+JWT"}, aud=["x", AUDIENCE])

    assert 204 == (await revoke(receiver, token, of(op))).status


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "malformed"),
        ({"sub_id": "u1"}, "malformed"),
        ({"sub_id": {"format": "iss_sub", "iss": "https://elsewhere.example", "sub": "u1"}}, "issuer"),
        ({"sub_id": {"format": "iss_sub", "iss": ["x"], "sub": "u1"}}, "issuer"),
        ({"sub_id": {"format": "opaque", "id": ""}}, "malformed"),
        ({"sub_id": {"format": "opaque", "id": 7}}, "malformed"),
        ({"sub_id": {"format": "opaque", "id": "a\u0000"}}, "malformed"),
        ({"sub_id": {"format": "phone_number", "phone_number": "+1"}}, "malformed"),
        ({"sub_id": {"format": "opaque", "id": "u1"}, "subject": {"format": "opaque", "id": "u2"}}, "malformed"),
    ],
)
async def test_bodies_that_name_nobody(receiver: Receiver, op: OP, body: Any, code: str) -> None:
    """400 for a body that names no user in a form that is known."""
    answer = await revoke(receiver, caller_token(op), body)

    assert (400, code) == (answer.status, answer.code)
    assert [] == await receiver.events()


async def test_without_a_token(receiver: Receiver, op: OP) -> None:
    """401 before anything is looked at."""
    assert (401, "unauthorized") == (
        (answer := await revoke(receiver, None, of(op))).status, answer.code,
    )  # fmt: skip


async def test_tenant_that_has_not_switched_it_on(receiver: Receiver, op: OP) -> None:
    """404 where it is off."""
    assert 404 == (await revoke(receiver, caller_token(op), of(op), tenant="t2")).status


async def test_keys_that_cannot_be_had(receiver: Receiver, op: OP) -> None:
    """503: the OP comes again."""
    op.status = 500

    assert 503 == (await revoke(receiver, caller_token(op), of(op))).status


def test_own_address_has_to_be_set() -> None:
    """Without `public.url` a token's `aud` cannot be judged: refused at the start."""
    tenant = {"name": "t1", "issuer": "https://op.example", "client_ids": ["c1"], "global_revocation": {}}

    with pytest.raises(ValidationError):
        Settings(tenants=[tenant])

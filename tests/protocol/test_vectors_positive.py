"""Logout tokens that must be accepted, however unusual they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.errors import Code
from tests.protocol.vectors import BACKCHANNEL, Case, assert_accepted, assert_refused, body, changed, ok, vector
from tests.support.clock import NOW, Clock
from tests.support.keys import ec_pair, ed25519_pair, rsa_pair
from tests.support.op import ABSENT, LOGOUT_EVENT, OP
from tests.support.receiver import FORM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.protocol.conftest import Start

JUNK_KEYS = (
    {"kty": "XYZ", "kid": "alien"},
    {"kty": "RSA", "kid": "hollow"},
    {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
    "not even an object",
)

CASES: list[Case] = [
    ok(
        "pos-extra-form-param",
        request=lambda token: {
            "data": [("ignored_parameter", "a"), ("logout_token", token), ("ignored_parameter", "b")]
        },
    ),
    ok("pos-extra-claim", lambda op: op.token(ignored_claim={"any": ["thing"]})),
    ok("pos-ct-charset", request=lambda token: body(f"logout_token={token}", f"{FORM}; charset=UTF-8")),
    ok("pos-ct-case", request=lambda token: body(f"logout_token={token}", "Application/X-WWW-Form-Urlencoded")),
    ok("pos-typ-absent", lambda op: op.token(header={"typ": ABSENT})),
    ok("pos-typ-JWT", lambda op: op.token(header={"typ": "JWT"})),
    ok("pos-typ-full", lambda op: op.token(header={"typ": "application/logout+jwt"})),
    ok("pos-typ-upper", lambda op: op.token(header={"typ": "LOGOUT+JWT"})),
    ok("pos-aud-array", lambda op: op.token(aud=["c1"])),
    ok("pos-aud-array-multi", lambda op: op.token(aud=["other", "c1"])),
    ok("pos-keycloak-revoke-offline", lambda op: op.token(events={LOGOUT_EVENT: {}, "revoke_offline_access": True})),
    ok("pos-keycloak-payload-typ", lambda op: op.token(typ="Logout")),
    ok("pos-event-nonempty-object", lambda op: op.token(events={LOGOUT_EVENT: {"x": 1}})),
    ok("pos-iat-1s-past", lambda op: op.token(iat=NOW - 1)),
    ok("pos-iat-skew-future", lambda op: op.token(iat=NOW + 20)),
    ok("pos-iat-skew-future", lambda op: op.token(iat=NOW + 60), variant="limit"),
    ok("pos-exp-300", lambda op: op.token(exp=NOW + 300)),
    ok("pos-exp-float", lambda op: op.token(iat=NOW - 0.5, exp=NOW + 120.5)),
    ok("pos-no-exp-preset", lambda op: op.token(exp=ABSENT), tenant={"require_exp": False}, variant="setting"),
    *(
        ok("pos-no-exp-preset", lambda op: op.token(exp=ABSENT), tenant={"preset": preset}, variant=preset)
        for preset in ("hydra", "ping", "lemonldap", "keycloak")
    ),
    ok("pos-short-jti", lambda op: op.token(jti="A1B2C3D4")),
    ok("pos-duende-reason", lambda op: op.token(logout_reason="user_logout", nbf=NOW)),
    ok("pos-unknown-session", lambda op: op.token(sid="a-session-nobody-has-seen")),
    ok(
        "pos-no-kid-single-key",
        lambda op: op.token(header={"kid": ABSENT}),
        keys=lambda op: [op.signing_key.published()],
        variant="only key",
    ),
    ok("pos-no-kid-single-key", lambda op: op.token(header={"kid": ABSENT}), variant="only RSA key"),
    ok(
        "pos-es256",
        lambda op: op.token(header={"alg": "ES256", "kid": "k2"}, key=ec_pair("k2")),
        tenant={"algorithms": ["ES256"]},
    ),
    ok("pos-ps256", lambda op: op.token(header={"alg": "PS256"}), tenant={"algorithms": ["PS256"]}),
    *(
        ok(
            name,
            changed(header={"alg": alg, "kid": "ed"}, key=ed25519_pair("ed")),
            tenant={"algorithms": [alg]},
            keys=lambda _: [ed25519_pair("ed").published()],
        )
        for name, alg in (("pos-eddsa", "EdDSA"), ("pos-alg-Ed25519", "Ed25519"))
    ),
    ok(
        "pos-jwks-has-junk-keys",
        keys=lambda op: [
            *JUNK_KEYS,
            rsa_pair("encrypts").published(use="enc"),
            rsa_pair("short", 1024).published(),
            op.signing_key.published(),
        ],
    ),
    ok("pos-static-query", request=lambda token: {"path": f"{BACKCHANNEL}?tenant=t1", "data": {"logout_token": token}}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_accepted(play: Callable[[Case], Awaitable[None]], case: Case) -> None:
    """An unusual but valid logout is 200 with no-store, and publishes one event."""
    await play(case)


@vector("pos-baseline")
async def test_baseline_event_names_issuer_user_session_and_client(start: Start, op: OP) -> None:
    """The plain logout becomes one event that names issuer, user, session and client."""
    receiver = await start()

    answer = await receiver.post(op.token())

    assert_accepted(answer)
    [event] = await receiver.events()
    data = event["data"]
    assert (op.issuer, "u1", "s1", "c1", "session") == tuple(
        data[name] for name in ("iss", "sub", "sid", "client_id", "scope")
    )


@vector("pos-sub-only")
async def test_sub_only_is_the_whole_user(start: Start, op: OP) -> None:
    """Without sid the event is for every session of the user."""
    receiver = await start()

    assert_accepted(await receiver.post(op.token(sid=ABSENT)))

    [event] = await receiver.events()
    assert ("user", "u1", None) == tuple(event["data"][name] for name in ("scope", "sub", "sid"))


@vector("pos-sid-only")
@pytest.mark.parametrize("sub", [ABSENT, None, ""])
async def test_sid_only_is_one_session(start: Start, op: OP, sub: object) -> None:
    """Without sub, or with a sub that names no user, the event is for one session."""
    receiver = await start()

    assert_accepted(await receiver.post(op.token(sub=sub)))

    [event] = await receiver.events()
    assert ("session", None, "s1") == tuple(event["data"][name] for name in ("scope", "sub", "sid"))


@vector("pos-key-rotation")
async def test_new_key_is_fetched_once(start: Start, op: OP) -> None:
    """A kid that appears only in a fresh key set is found by one fetch, and used from then on without another."""
    receiver = await start()
    assert_accepted(await receiver.post(op.token()))
    before = op.jwks_fetches
    k9 = rsa_pair("k9")
    op.keys = [k9.published(), *op.keys]

    for _ in range(3):
        assert_accepted(await receiver.post(op.token(header={"kid": "k9"}, key=k9)))

    assert before + 1 == op.jwks_fetches


@vector("pos-jwks-stale-outage")
async def test_cached_keys_outlive_an_outage_of_the_op(start: Start, op: OP, clock: Clock) -> None:
    """While the OP's key endpoint answers 500, the keys fetched before go on verifying."""
    receiver = await start()
    assert_accepted(await receiver.post(op.token()))
    op.status = 500

    for hours in (2, 24, 100):
        clock.advance(hours * 3600)
        assert_accepted(await receiver.post(op.token()))

    assert 4 == len(await receiver.events())


@vector("pos-cache-header")
async def test_success_and_refusal_say_no_store(start: Start, op: OP) -> None:
    """Neither a 200 nor a 400 may be stored by anything on the way."""
    receiver = await start()

    assert_accepted(await receiver.post(op.token()))
    assert_refused(await receiver.post(op.token(nonce="n")), 400, Code.NONCE)

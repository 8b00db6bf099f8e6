"""Every OP's tokens under its preset: what it sends is accepted, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.presets import PRESETS
from receiver.errors import Code
from tests.presets.shapes import SHAPES
from tests.support.clock import NOW, Clock
from tests.support.keys import rsa_pair
from tests.support.op import LOGOUT_EVENT, encode_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.presets.conftest import StartFor
    from tests.presets.shape import Shape

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
NEWEST = {shape.preset: shape for shape in SHAPES if not shape.settings}
"""One shape for each preset, of the newest version the preset alone is enough for."""

each_preset = pytest.mark.parametrize("shape", NEWEST.values(), ids=NEWEST.keys())


@every_shape
async def test_token_of_this_op_is_accepted(start_for: StartFor, shape: Shape) -> None:
    """The OP's own token is 200 and becomes one event about the session or the user it names."""
    receiver = await start_for(shape)
    claims = shape.payload(NOW)

    answer = await receiver.post(shape.sign(claims))

    assert (200, "") == (answer.status, answer.text)
    [event] = await receiver.events()
    data = event["data"]
    assert shape.scope == data["scope"]
    assert (shape.issuer, shape.client_id, claims["jti"]) == (data["iss"], data["client_id"], data["jti"])
    assert (claims.get("sub"), claims.get("sid")) == (data["sub"], data["sid"])
    assert claims.get("logout_reason") == data["reason"]


@every_shape
async def test_account_follows_the_op(start_for: StartFor, shape: Shape) -> None:
    """The sub is MSAL's account key for every OP but Entra, which sends client_info."""
    receiver = await start_for(shape)
    sub = shape.payload(NOW).get("sub")

    await receiver.post(shape.token(NOW))

    [event] = await receiver.events()
    assert ([] if shape.preset == "entra" or sub is None else [sub]) == event["data"]["accounts"]


def _again(shape: Shape, token: str, claims: dict[str, Any], now_s: int) -> str:
    match shape.retry:
        case "same token":
            return token
        case "same jti":
            return shape.sign({**shape.payload(now_s), "jti": claims["jti"]})
        case _:
            return shape.sign({**shape.payload(now_s), "jti": "another1"})


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.retry], ids=lambda shape: shape.name)
async def test_what_this_op_sends_again_is_a_success(start_for: StartFor, clock: Clock, shape: Shape) -> None:
    """A retry is 200 as well; it is a second event where the OP signs it anew, with a later `iat`."""
    receiver = await start_for(shape)
    claims = shape.payload(NOW)
    token = shape.sign(claims)

    first = await receiver.post(token)
    clock.advance(20)
    second = await receiver.post(_again(shape, token, claims, NOW + 20))

    assert (200, 200) == (first.status, second.status)
    assert (1 if shape.retry == "same token" else 2) == len(await receiver.events())


FAULTS: dict[str, tuple[Callable[[Shape], str], Code]] = {
    "nonce": (lambda s: s.sign({**s.payload(NOW), "nonce": "n-0S6_WzA2Mj"}), Code.NONCE),
    "aud of another client": (lambda s: s.sign({**s.payload(NOW), "aud": [s.client_id + "x"]}), Code.AUDIENCE),
    "no events": (lambda s: s.sign({**s.payload(NOW), "events": {}}), Code.EVENTS),
    "another event": (
        lambda s: s.sign({**s.payload(NOW), "events": {"http://schemas.openid.net/event/foobar": {}}}),
        Code.EVENTS,
    ),
    "event not an object": (lambda s: s.sign({**s.payload(NOW), "events": {LOGOUT_EVENT: True}}), Code.EVENTS),
    "nobody": (lambda s: s.sign({**s.payload(NOW), "sub": None, "sid": None}), Code.NO_SUBJECT),
    "no jti": (lambda s: s.sign({**s.payload(NOW), "jti": None}), Code.JTI_MISSING),
    "no iat": (lambda s: s.sign({n: v for n, v in s.payload(NOW).items() if n != "iat"}), Code.IAT_MISSING),
    "old": (lambda s: s.sign({**s.payload(NOW), "iat": NOW - 661}), Code.TOO_OLD),
    "expired": (lambda s: s.sign({**s.payload(NOW), "exp": NOW - 60}), Code.EXPIRED),
    "issuer with a slash more": (lambda s: s.sign({**s.payload(NOW), "iss": s.issuer + "/"}), Code.ISSUER),
    "an access token": (lambda s: s.sign(s.payload(NOW), typ="at+jwt"), Code.TYP),
    "alg none": (lambda s: encode_token({"alg": "none"}, s.payload(NOW), None), Code.ALG),
    "another algorithm": (lambda s: s.sign(s.payload(NOW), alg="PS256"), Code.ALG),
    "a foreign key": (
        lambda s: encode_token({"alg": "RS256", "kid": s.kid}, s.payload(NOW), rsa_pair("somebody else")),
        Code.SIGNATURE,
    ),
}


@each_preset
async def test_preset_keeps_the_strict_rules(start_for: StartFor, shape: Shape) -> None:
    """Whatever a preset tolerates, a token that breaks another rule is 400 with that rule's code and no event."""
    receiver = await start_for(shape)

    answers = {name: await receiver.post(make(shape)) for name, (make, _) in FAULTS.items()}

    expected = {name: (400, code) for name, (_, code) in FAULTS.items()}
    if shape.alg != "RS256":
        # The foreign key signs with RS256, which already is the wrong algorithm here.
        expected["a foreign key"] = (400, Code.ALG)
    assert expected == {name: (answer.status, answer.code) for name, answer in answers.items()}
    assert [] == await receiver.events()


@pytest.mark.parametrize("preset", [p for p, fields in PRESETS.items() if "require_exp" in fields])
async def test_missing_exp_can_be_refused_again(start_for: StartFor, preset: str) -> None:
    """Where a preset tolerates a missing exp, the tenant's own require_exp has the last word."""
    shape = next(s for s in SHAPES if s.preset == preset and "exp" not in s.payload(NOW))
    receiver = await start_for(shape, require_exp=True)

    answer = await receiver.post(shape.token(NOW))

    assert (400, Code.EXP_MISSING) == (answer.status, answer.code)


@pytest.mark.parametrize("preset", [p for p, fields in PRESETS.items() if "require_exp" not in fields])
async def test_missing_exp_is_refused_unless_the_op_omits_it(start_for: StartFor, preset: str) -> None:
    """A preset that says nothing about exp requires it."""
    shape = NEWEST[preset]
    receiver = await start_for(shape)
    claims = {name: value for name, value in shape.payload(NOW).items() if name != "exp"}

    answer = await receiver.post(shape.sign(claims))

    assert (400, Code.EXP_MISSING) == (answer.status, answer.code)


async def test_both_claims_can_mean_the_user(start_for: StartFor) -> None:
    """For Keycloak's "sign out everywhere", which names one session, the tenant can make it the whole user."""
    receiver = await start_for(NEWEST["keycloak"], both_claims="user")

    await receiver.post(NEWEST["keycloak"].token(NOW))

    [event] = await receiver.events()
    assert "user" == event["data"]["scope"]

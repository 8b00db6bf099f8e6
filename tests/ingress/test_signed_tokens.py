"""A way in with tokens of its own kind: its rules are a list, the rest is done for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.tokens.claims import check_token_id
from receiver.core.tokens.rule import Examination, Rule
from receiver.errors import Code, LogoutTokenError
from receiver.ingress import server
from receiver.ingress.http.body import BodyLimits
from receiver.ingress.inputs import HttpInput, Message, Resources, Row, input_table
from tests.support.keys import rsa_pair
from tests.support.op import OP, encode_token
from tests.support.receiver import Answer, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.inputs.signed_tokens import SignedTokens
    from tests.support.clock import Clock

JWT = "application/jwt"


def check_type(e: Examination) -> None:
    """The made-up kind is named by its type."""
    if e.header.get("typ") != "farewell+jwt":
        raise LogoutTokenError(Code.TYP, "not a farewell")


RULES = (
    Rule("1", "typ", "made up", check_type, refusals={Code.TYP: ""}),
    Rule("2", "jti", "made up", lambda e: check_token_id(e.claims), refusals={Code.JTI_MISSING: ""}),
)


class Farewells(HttpInput):
    """A made-up protocol: the body is a token, and its `sub` has left."""

    name = "farewell"

    def __init__(self, tokens: SignedTokens) -> None:
        self._tokens = tokens

    async def read(self, message: Message) -> Sequence[Eviction]:
        """One eviction."""
        found = await self._tokens.verify(message.body.decode(), message, RULES)
        return [
            Eviction.for_subject(
                found.tenant, id=eviction_id("farewell", str(found.claims["jti"])), iss=found.tenant.issuer,
                sub=str(found.claims["sub"]), sid=None, logout_at=int(found.now_s), received_at=found.now_s,
                input="ssf", origin=self.name, applies_to="tenant",
            )
        ]  # fmt: skip

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """204."""
        del accepted
        return web.Response(status=204)


@pytest.fixture
async def receiver(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Receiver]:
    """A receiver that takes farewells of two tenants, each on its own path only."""

    def table(resources: Resources) -> tuple[Row, ...]:
        row = Row(
            input=Farewells(resources.signed_tokens), listener="public", path="/farewell", tenant_in_path="required",
            body=BodyLimits(media_type=JWT, max_bytes=20_000, timeout_s=5.0),
        )  # fmt: skip
        return (*input_table(resources), row)

    async with OP(clock, path="/other", signing_key=rsa_pair("k2")) as other:
        tenants = [t1(op), {"name": "t2", "issuer": other.issuer, "client_ids": ["c2"]}]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server, "input_table", table)
            async with start_receiver(redis_server.url, redis_client, clock, tenants) as receiver:
                yield receiver


async def send(receiver: Receiver, token: str, path: str = "/farewell/t1") -> Answer:
    """Post one token."""
    return await receiver.send("POST", path, data=token, headers={"Content-Type": JWT})


def farewell(op: OP, **changes: object) -> str:
    """A valid farewell with some claims changed."""
    header = {"alg": "RS256", "kid": op.signing_key.kid, "typ": "farewell+jwt"}
    return encode_token(header, {"iss": op.issuer, "sub": "u1", "jti": "j1", **changes}, op.signing_key)


async def test_verified_token_is_taken_in(receiver: Receiver, op: OP) -> None:
    """A token that keeps the rules of its kind is verified with its OP's keys, and believed."""
    answer = await send(receiver, farewell(op))

    assert 204 == answer.status
    assert [("u1", "ssf", "farewell")] == [
        (event["data"]["sub"], event["data"]["input"], event["data"]["origin"]) for event in await receiver.events()
    ]


async def test_key_changed_a_moment_ago(receiver: Receiver, op: OP) -> None:
    """An unknown key is looked for at the OP at once."""
    await send(receiver, farewell(op))
    op.signing_key = rsa_pair("k9")
    op.keys = [op.signing_key.published()]

    assert 204 == (await send(receiver, farewell(op, jti="j2"))).status


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("another kind", "typ"),
        ("its own rule", "jti_missing"),
        ("forged", "signature"),
        ("unsigned", "alg"),
        ("another tenant's path", "issuer_mismatch"),
        ("no tenant in the path", "no_route"),
    ],
)
async def test_refusals(receiver: Receiver, op: OP, fault: str, code: str) -> None:
    """What fails a rule, a signature or the path is refused, and publishes nothing."""
    token, path = farewell(op), "/farewell/t1"
    if fault == "another kind":
        token = op.token()
    elif fault == "its own rule":
        token = farewell(op, jti="")
    elif fault == "forged":
        token = encode_token(
            {"alg": "RS256", "kid": "k1", "typ": "farewell+jwt"}, {"iss": op.issuer, "jti": "j"}, rsa_pair("k2")
        )
    elif fault == "unsigned":
        token = encode_token({"alg": "none", "typ": "farewell+jwt"}, {"iss": op.issuer, "jti": "j"}, None)
    elif fault == "another tenant's path":
        path = "/farewell/t2"
    else:
        path = "/farewell"

    answer = await send(receiver, token, path)

    assert code == answer.code
    assert [] == await receiver.events()


async def test_keys_that_cannot_be_had(receiver: Receiver, op: OP) -> None:
    """Without keys the sender is told to come again; nothing is kept for later."""
    op.status = 500

    answer = await send(receiver, farewell(op))
    op.status = 200

    assert (503, "jwks_unavailable") == (answer.status, answer.code)
    assert 0.0 == receiver.server.metrics.registry.get_sample_value("logout_held_tokens")

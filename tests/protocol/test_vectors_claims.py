"""The claims of a correctly signed token, each wrong in one way (BCL §2.4, §2.6 steps 4 to 7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from receiver.errors import Code
from tests.protocol.vectors import OVERSIZE_STATUS, Case, assert_refused, bad, changed, signed, vector
from tests.support.clock import NOW
from tests.support.op import ABSENT, LOGOUT_EVENT, OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.protocol.conftest import Start

YEAR = 365 * 86400
NO_OBJECTS: list[object] = ["{}", True, [], 0]


def literal(name: str, text: str) -> Callable[[OP], str]:
    """Makes a token in which one claim is exactly this JSON text."""

    def make(op: OP) -> str:
        payload = json.dumps(op.claims(**{name: "@"})).replace('"@"', text).encode()
        return signed(op.header(), payload, key=op.signing_key, alg="RS256")

    return make


def id_token(op: OP) -> str:
    """A genuine ID token of c1."""
    return op.token(
        header={"typ": "JWT"}, events=ABSENT, jti=ABSENT, nonce="n-0S6_WzA2Mj", auth_time=NOW - 5, exp=NOW + 3600
    )


def access_token(op: OP) -> str:
    """A genuine JWT access token whose audience is c1 (RFC 9068)."""
    return op.token(header={"typ": "at+jwt"}, events=ABSENT, client_id="c1", scope="openid", exp=NOW + 3600)


def security_event(op: OP) -> str:
    """A CAEP session-revoked event, as an SSF transmitter pushes it."""
    return op.token(
        header={"typ": "secevent+jwt"},
        sub=ABSENT,
        sid=ABSENT,
        exp=ABSENT,
        sub_id={"format": "iss_sub", "iss": op.issuer, "sub": "u1"},
        events={"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {"event_timestamp": NOW}},
    )


CASES: list[Case] = [
    bad("neg-iss-missing", Code.ISSUER, changed(iss=ABSENT)),
    bad("neg-iss-missing", Code.ISSUER, changed(iss=None), variant="null"),
    bad("neg-iss-suffix", Code.ISSUER, lambda op: op.token(iss=op.issuer + "INVALID")),
    bad("neg-iss-slash", Code.ISSUER, lambda op: op.token(iss=op.issuer + "/")),
    bad("neg-iss-slash", Code.ISSUER, lambda op: op.token(iss=op.issuer.upper()), variant="case"),
    bad(
        "neg-iss-slash",
        Code.ISSUER,
        lambda op: op.token(iss=op.issuer.replace("127.0.0.1", "localhost")),
        variant="host",
    ),
    bad("neg-iss-array", Code.ISSUER, lambda op: op.token(iss=[op.issuer])),
    bad("neg-iss-array", Code.ISSUER, lambda op: op.token(iss={op.issuer: 1}), variant="object"),
    bad("neg-aud-suffix", Code.AUDIENCE, changed(aud="c1INVALID")),
    bad("neg-aud-missing", Code.AUDIENCE, changed(aud=ABSENT)),
    bad("neg-aud-missing", Code.AUDIENCE, changed(aud=None), variant="null"),
    bad("neg-aud-empty-array", Code.AUDIENCE, changed(aud=[])),
    bad("neg-aud-nested", Code.AUDIENCE, changed(aud=[["c1"]])),
    bad("neg-aud-nested", Code.AUDIENCE, changed(aud={"c1": 1}), variant="object"),
    bad("neg-aud-nested", Code.AUDIENCE, changed(aud=["c1", 5]), variant="mixed"),
    bad("neg-aud-substring", Code.AUDIENCE, changed(aud="xc1x")),
    bad("neg-aud-substring", Code.AUDIENCE, changed(aud="c1 c2"), variant="list in a string"),
    bad("neg-exp-past", Code.EXPIRED, changed(exp=NOW - 120)),
    bad("neg-exp-past", Code.EXPIRED, changed(exp=NOW - 60), variant="limit"),
    bad("neg-exp-missing-strict", Code.EXP_MISSING, changed(exp=ABSENT)),
    bad("neg-exp-string", Code.MALFORMED, changed(exp="1800000000")),
    bad("neg-exp-bool-nan", Code.MALFORMED, changed(exp=True)),
    *(
        bad("neg-exp-bool-nan", Code.MALFORMED, literal("exp", text), variant=text)
        for text in ("1e400", "NaN", "Infinity", "-1", "null", "253402300800", "1" + "0" * 400, "1" + "0" * 5000)
    ),
    bad("neg-exp-far", Code.TOO_OLD, changed(iat=NOW - 86400, exp=NOW - 86400 + 10 * YEAR)),
    bad("neg-iat-missing", Code.IAT_MISSING, changed(iat=ABSENT)),
    bad("neg-iat-future", Code.IAT_FUTURE, changed(iat=NOW + 600, exp=NOW + 720)),
    bad("neg-iat-future", Code.IAT_FUTURE, changed(iat=NOW + 301), variant="limit"),
    bad("neg-iat-old", Code.TOO_OLD, changed(iat=NOW - 3600, exp=NOW + 60)),
    bad("neg-iat-old", Code.TOO_OLD, changed(iat=NOW - 661), variant="limit"),
    bad("neg-iat-old", Code.TOO_OLD, changed(iat=NOW - 3600, exp=ABSENT), tenant={"preset": "hydra"}, variant="no exp"),
    bad("neg-iat-old", Code.MALFORMED, changed(iat="1795176000"), variant="string"),
    bad("neg-nbf-future", Code.NOT_YET_VALID, changed(nbf=NOW + 600)),
    bad("neg-nbf-future", Code.MALFORMED, changed(nbf="soon"), variant="string"),
    bad("neg-jti-missing", Code.JTI_MISSING, changed(jti=ABSENT)),
    bad("neg-jti-empty-or-num", Code.JTI_MISSING, changed(jti="")),
    bad("neg-jti-empty-or-num", Code.JTI_MISSING, changed(jti=5), variant="number"),
    bad("neg-jti-empty-or-num", Code.JTI_MISSING, changed(jti=None), variant="null"),
    bad("neg-jti-empty-or-num", Code.JTI_MISSING, changed(jti="j" * 513), variant="513 characters"),
    bad("neg-jti-empty-or-num", Code.JTI_MISSING, changed(jti="a\nb"), variant="line end"),
    bad("neg-jti-empty-or-num", Code.TOKEN_TOO_LARGE, changed(jti="j" * 14 * 1024), variant="14 KiB"),
    bad("neg-jti-empty-or-num", Code.TOO_LARGE, changed(jti="j" * 700_000), status=OVERSIZE_STATUS, variant="700 kB"),
    bad("neg-no-sub-no-sid", Code.NO_SUBJECT, changed(sub=ABSENT, sid=ABSENT)),
    bad("neg-sub-empty", Code.NO_SUBJECT, changed(sub="", sid=ABSENT)),
    bad("neg-sub-empty", Code.MALFORMED, changed(sid=""), variant="empty sid with sub"),
    bad("neg-sub-null-sid-null", Code.NO_SUBJECT, changed(sub=None, sid=None)),
    *(
        bad(f"neg-{name}-number", Code.MALFORMED, changed(**{name: value}), variant=label)
        for name in ("sub", "sid")
        for label, value in (
            ("", 5),
            ("array", ["u1"]),
            ("object", {"u1": 1}),
            ("true", True),
            ("long", "u" * 513),
            ("NUL", "u1\x00"),
            ("surrogate", "\ud800"),
        )
    ),
    bad("neg-sid-required", Code.SID_MISSING, changed(sid=ABSENT), tenant={"require_sid": True}),
    bad("neg-nonce", Code.NONCE, changed(nonce="x")),
    bad("neg-nonce-empty", Code.NONCE, changed(nonce="")),
    bad("neg-nonce-null", Code.NONCE, changed(nonce=None)),
    bad("neg-events-missing", Code.EVENTS, changed(events=ABSENT)),
    bad("neg-events-other", Code.EVENTS, changed(events={"http://schemas.openid.net/event/foobar": {}})),
    bad("neg-events-other", Code.EVENTS, changed(events={}), variant="empty"),
    bad("neg-events-array", Code.EVENTS, changed(events=[LOGOUT_EVENT])),
    bad("neg-events-string", Code.EVENTS, changed(events=json.dumps({LOGOUT_EVENT: {}}))),
    bad("neg-events-member-null", Code.EVENTS, changed(events={LOGOUT_EVENT: None})),
    *(
        bad("neg-events-member-str", Code.EVENTS, changed(events={LOGOUT_EVENT: value}), variant=json.dumps(value))
        for value in NO_OBJECTS
    ),
    bad("neg-events-https", Code.EVENTS, changed(events={LOGOUT_EVENT.replace("http:", "https:"): {}})),
    bad("neg-id-token", Code.EVENTS, id_token),
    bad("neg-access-token", Code.TYP, access_token),
    bad("neg-ssf-set-here", Code.TYP, security_event),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_refused(play: Callable[[Case], Awaitable[None]], case: Case) -> None:
    """A claim that is missing, mistyped or wrong refuses the token with its code."""
    await play(case)


@vector("neg-iss-ssrf")
@pytest.mark.parametrize("address", ["http://169.254.169.254/", "http://localhost/", "file:///etc/passwd", "{other}"])
async def test_issuer_is_never_called(start: Start, op: OP, other: OP, address: str) -> None:
    """An issuer nobody configured is refused without a call to the address it names."""
    receiver = await start(t1(op))
    token = op.token(iss=address.replace("{other}", other.issuer), key=other.signing_key)

    assert_refused(await receiver.post(token), 400, Code.ISSUER, token)

    assert [] == await receiver.events()
    assert (0, 0, []) == (other.jwks_fetches, other.discovery_fetches, other.other_requests)

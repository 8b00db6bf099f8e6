"""An issuer that serves many tenants from one template, as Microsoft Entra ID publishes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.errors import Code
from tests.protocol.vectors import Case, assert_accepted, assert_refused, bad, changed, ok, vector
from tests.support.keys import rsa_pair
from tests.support.op import ABSENT, OP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.protocol.conftest import Start
    from tests.support.clock import Clock

A = "11111111-aaaa-4aaa-8aaa-111111111111"
B = "22222222-bbbb-4bbb-8bbb-222222222222"
STRANGER = "33333333-cccc-4ccc-8ccc-333333333333"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts, which has signing keys of its own."""

V1_HOST = "sts.windows.net"


@pytest.fixture
async def entra(clock: Clock) -> AsyncIterator[OP]:
    """An OP with one key for every tenant and one for a single tenant only."""
    async with OP(clock, path="/common/discovery/v2.0") as op:
        template = f"{op.origin}/{{tenantid}}/v2.0"
        op.keys = [
            op.signing_key.published(issuer=template),
            rsa_pair("camel").published(issuer=f"{op.origin}/{{tenantId}}/v2.0"),
            rsa_pair("consumers").published(issuer=issuer(op, CONSUMERS)),
        ]
        yield op


def issuer(op: OP, tid: str) -> str:
    """The issuer of one tenant."""
    return f"{op.origin}/{tid}/v2.0"


def settings(op: OP) -> dict[str, Any]:
    """The receiver's side: a multi-tenant application open to A, B and personal accounts."""
    return {
        "name": "t1",
        "preset": "entra",
        "issuer": f"{op.origin}/{{tenantid}}/v2.0",
        "client_ids": ["c1"],
        "allowed_tenant_ids": [A, B, CONSUMERS],
        "jwks_uri": f"{op.issuer}/jwks?appid=c1",
    }


def entra_token(iss_tid: str, tid: Any, **changes: Any) -> Callable[[OP], str]:
    """Makes a token of one tenant's issuer whose `tid` says another thing, perhaps."""
    return lambda op: op.token(iss=issuer(op, iss_tid), tid=tid, **changes)


CASES: list[Case] = [
    ok("ent-template-ok", entra_token(A, A)),
    ok("ent-template-ok", entra_token(B, B), variant="second tenant"),
    ok("ent-template-ok", entra_token(A, A, header={"kid": "camel"}, key=rsa_pair("camel")), variant="tenantId"),
    ok(
        "ent-template-ok",
        entra_token(CONSUMERS, CONSUMERS, header={"kid": "consumers"}, key=rsa_pair("consumers")),
        variant="own key",
    ),
    bad("ent-tid-missing", Code.ISSUER, entra_token(A, ABSENT)),
    bad("ent-tid-not-guid", Code.ISSUER, entra_token("common", "common")),
    bad("ent-tid-not-guid", Code.ISSUER, entra_token(A.upper(), A.upper()), variant="upper case"),
    bad("ent-tid-not-guid", Code.ISSUER, entra_token(A, [A]), variant="array"),
    bad("ent-tid-not-guid", Code.ISSUER, entra_token("", ""), variant="empty"),
    bad("ent-tid-iss-mismatch", Code.ISSUER, entra_token(B, A)),
    bad("ent-tenant-not-allowed", Code.ISSUER, entra_token(STRANGER, STRANGER)),
    bad(
        "ent-msa-key-cross",
        Code.KEY_ISSUER,
        entra_token(A, A, header={"kid": "consumers"}, key=rsa_pair("consumers")),
    ),
    bad("ent-literal-template", Code.ISSUER, entra_token("{tenantid}", A)),
    bad("ent-literal-template", Code.ISSUER, entra_token("{tenantid}", "{tenantid}"), variant="both"),
    bad("ent-v1-iss-on-v2", Code.ISSUER, lambda op: op.token(iss=f"https://{V1_HOST}/{A}/", tid=A)),
    bad("ent-v1-iss-on-v2", Code.ISSUER, lambda op: op.token(iss=f"{op.origin}/{A}/", tid=A), variant="same host"),
    ok("ent-x5t-header", entra_token(A, A, header={"x5t": "L1KfKFI_jnXbwWc22xZxw1sUHH0"})),
    ok("ent-x5t-header", entra_token(A, A, header={"x5t#S256": "AAAA"}), variant="S256"),
    *(
        bad(
            "ent-sovereign",
            Code.ISSUER,
            changed(iss=f"https://{host}/{A}/v2.0", tid=A),
            variant=host,
        )
        for host in ("login.microsoftonline.us", "login.partner.microsoftonline.cn")
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_templated_issuer(start: Start, entra: OP, case: Case) -> None:
    """A token is of the tenant its `tid` and `iss` agree on, and of no other."""
    receiver = await start(settings(entra))
    token = case.token(entra)

    answer = await receiver.post(token)

    if case.code is None:
        assert_accepted(answer)
    else:
        assert_refused(answer, case.status, case.code, token)
    assert case.events == len(await receiver.events())
    assert (0, []) == (entra.discovery_fetches, entra.other_requests)


@vector("ent-template-ok")
async def test_event_names_the_real_tenant(start: Start, entra: OP) -> None:
    """The event holds the issuer with the tenant's GUID, and no MSAL account guessed from the pairwise sub."""
    receiver = await start(settings(entra))

    assert_accepted(await receiver.post(entra_token(A, A)(entra)))

    [event] = await receiver.events()
    assert (issuer(entra, A), []) == (event["data"]["iss"], event["data"]["accounts"])

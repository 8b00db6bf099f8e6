"""`explain` and the service say the same of any token: one list of rules, asked to the end or to the first failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey

from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.core.tokens.rule import Examination
from receiver.diagnosis.judgement import Judgement, judge, tenant_for
from receiver.errors import Code, JWKSUnavailableError, ReceiverError
from tests.fuzz.logout_requests import PEM
from tests.fuzz.strategies import absent, claim_changes, examples, header_changes
from tests.fuzz.test_fuzz_mutations import mutations
from tests.fuzz.worlds import OPWorld, lax, strict
from tests.support.clock import NOW

LAX, STRICT = lax(), strict()
TENANTS = TenantDirectory((replace(LAX.tenant, decryption_key=PEM), STRICT.tenant))
KEYS = {op.settings["name"]: parse_key_set(op.key_set) for op in (LAX, STRICT)}
AWAY = JWKSUnavailableError("the OP is away")

ops = st.sampled_from([LAX, STRICT])
paths = st.sampled_from([None, *TENANTS])


def served(token: str, path: Tenant | None, keys: dict[str, KeySet] | None) -> tuple[Code | None, str | None]:
    """What the service does up to where it publishes: the code of its refusal, or the scope of the eviction."""
    try:
        unverified, tenant = lt.parse(token, TENANTS, path)
        screened = lt.screen(unverified, tenant, NOW)
        if keys is None:
            raise AWAY
        accepted = lt.verify(screened, keys[tenant.name])
    except ReceiverError as error:
        return error.code, None
    return None, accepted.to_evictions(tenant, NOW)[0].scope


def explained(token: str, path: Tenant | None, keys: dict[str, KeySet] | None) -> Judgement:
    """What `explain` does."""
    tenant = tenant_for(token, TENANTS, path)
    examination = Examination.of_text(token, TENANTS, path, now_s=NOW)
    if tenant is not None:
        examination.keys = keys[tenant.name] if keys is not None else AWAY
    return judge(examination, tenant)


def agree(token: str, path: Tenant | None, *, away: bool) -> None:
    """Both say the same, and the list of rules shows why."""
    keys = None if away else KEYS
    judgement = explained(token, path, keys)
    failed = [finding for finding in judgement.findings if finding.outcome == "failed"]

    assert served(token, path, keys) == (judgement.error.code if judgement.error else None, judgement.scope)
    assert [finding.code for finding in failed[:1]] == ([judgement.error.code] if judgement.error else [])
    assert all(finding.advice for finding in failed), "a rule refuses with a code it does not list"


@examples(400)
@given(op=ops, header=st.data(), claims=claim_changes, without=absent | st.just(set()), path=paths, away=st.booleans())
def test_signed_tokens(
    op: OPWorld, header: st.DataObject, claims: dict[str, Any], without: set[str], path: Tenant | None, *, away: bool
) -> None:
    """Any header and claims, really signed, for any path and with or without keys."""
    changed = header.draw(header_changes([*op.world.keys]))
    payload = {name: value for name, value in {**op.claims(), **claims}.items() if name not in without}

    agree(op.token({**op.header(), **changed}, payload), path, away=away)


@examples(200)
@given(op=ops, data=st.data(), path=paths)
def test_changed_text(op: OPWorld, data: st.DataObject, path: Tenant | None) -> None:
    """A token with its text changed after it was signed, and any text at all."""
    agree(data.draw(mutations(op.valid())), path, away=False)
    agree(data.draw(st.text(max_size=60)), path, away=False)


@examples(60)
@given(op=ops, inner=st.binary(max_size=40), claims=claim_changes, path=paths)
def test_encrypted_tokens(op: OPWorld, inner: bytes, claims: dict[str, Any], path: Tenant | None) -> None:
    """An encrypted token with anything inside."""
    key = ECKey.import_key(PEM)
    for plaintext in (op.token(op.header(), {**op.claims(), **claims}).encode(), inner or b"x"):
        sealed = jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A128GCM"}, plaintext, key)
        agree(sealed, path, away=False)


def test_a_good_token_is_accepted_by_both() -> None:
    """The property is not about refusals only."""
    assert (None, "session") == served(LAX.valid(), None, KEYS)
    assert explained(LAX.valid(), None, KEYS).error is None

"""`receiver explain` for tokens that are no logout tokens: each judged as its endpoint judges it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.core.signals import security_event as se
from receiver.core.tenants import TenantDirectory
from receiver.core.tokens import command_token, logout_token, revocation_token, signed_token
from receiver.core.tokens.jwks import parse_key_set
from receiver.core.tokens.rule import Examination, enforce
from receiver.diagnosis.judgement import Judgement, judge
from receiver.diagnosis.kinds import Kind, case_of, kind_of
from receiver.errors import Code, ReceiverError
from receiver.ingress.inputs import commands, revocation
from receiver.ingress.inputs.address import address_of
from receiver.ops.settings import Settings
from tests.fuzz.strategies import absent, claim_changes, examples, header_changes, json_values
from tests.fuzz.test_fuzz_mutations import mutations
from tests.fuzz.worlds import lax
from tests.support.clock import NOW
from tests.support.op import OP, encode_token
from tests.support.receiver import t1

if TYPE_CHECKING:
    from pathlib import Path

    from tests.diagnosis.conftest import Command

URL = "https://logout.example"
ON: dict[str, Any] = {"commands": {}, "global_revocation": {}, "ssf": {}}


@pytest.fixture
def files(op: OP, tmp_path: Path) -> list[str]:
    """Options for a receiver that takes every kind, and for the OP's keys."""
    config, jwks = tmp_path / "receiver.json", tmp_path / "jwks.json"
    plain = {**t1(op), "name": "plain", "issuer": "https://plain.example"}
    config.write_text(json.dumps({"public": {"url": URL}, "tenants": [t1(op, **ON), plain]}))
    jwks.write_text(json.dumps({"keys": op.keys}))
    return ["--config", str(config), "--jwks", str(jwks), "--now", str(NOW)]


def token(op: OP, kind: Kind, **changes: Any) -> str:
    """A good one of that kind, but for the changes."""
    at = {"iss": op.issuer, "iat": NOW, "jti": "j1"}
    short = {"exp": NOW + 120}
    claims: dict[Kind, dict[str, Any]] = {
        "set": {
            **at, "aud": "c1", "sub_id": {"format": "iss_sub", "iss": op.issuer, "sub": "a-subject"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
        },
        "command": {
            **at, **short, "aud": f"{URL}/commands/t1", "client_id": "c1", "command": "invalidate", "tenant": "acme",
            "sub": "a-subject",
        },
        "revocation": {**at, **short, "aud": f"{URL}/global-token-revocation/t1", "sub": "c1"},
    }  # fmt: skip
    types = {"set": "secevent+jwt", "command": "command+jwt", "revocation": "global-token-revocation+jwt"}
    return encode_token(op.header(typ=types[kind]), {**claims[kind], **changes}, op.signing_key)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("set", {}, (0, "accepted", 202, "user")),
        ("set", {"events": {"https://example.com/other": {}}}, (0, "accepted", 202, None)),
        ("set", {"aud": "another"}, (1, "audience", 400, None)),
        ("set", {"iat": NOW + 200}, (1, "publish", 503, None)),
        ("command", {}, (0, "accepted", 200, "user")),
        ("command", {"command": "invalidate_async"}, (0, "accepted", 202, "user")),
        ("command", {"command": "delete"}, (1, "unsupported_command", 400, None)),
        ("command", {"aud": "c1"}, (1, "audience", 400, None)),
        ("command", {"iss": "https://other.example"}, (1, "issuer", 401, None)),
        ("revocation", {}, (0, "accepted", 204, "user")),
        ("revocation", {"exp": NOW - 200}, (1, "expired", 401, None)),
    ],
    ids=str,
)
async def test_each_kind(  # noqa: PLR0917  # fixtures and a table
    command: Command, op: OP, files: list[str], kind: Kind, changes: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """The kind is known by `typ`; verdict, status and scope are the endpoint's, and no user is shown."""
    which = ["--tenant", "t1"] if "iss" in changes else []
    ran = await command("explain", token(op, kind, **changes), *files, *which, "--json")

    code, outcome, status, scope = expected
    verdict = ran.json["verdict"]
    assert (code, kind, status, scope) == (ran.code, ran.json["kind"], verdict["status"], verdict["scope"])
    assert outcome == (verdict["code"] or verdict["outcome"])
    numbers = [rule["number"] for rule in ran.json["rules"]]
    assert len(set(numbers)) == len(numbers)
    assert "a-subject" not in ran.out


async def test_kind_that_is_asked_for(command: Command, op: OP, files: list[str]) -> None:
    """`--kind` sends a token to another endpoint, where its `typ` is wrong; a logout token is one by default."""
    said = await command("explain", token(op, "command"), *files, "--kind", "set", "--json")
    assert ("set", "typ") == (said.json["kind"], said.json["verdict"]["code"])
    assert "logout" == (await command("explain", op.token(), *files, "--json")).json["kind"]
    text = await command("explain", token(op, "set"), *files)
    assert "accepted: the service answers 202 and ends every session of the user sub names" in text.out


@pytest.mark.parametrize(
    ("kind", "of"), [("set", "plain"), ("command", "plain"), ("revocation", "plain"), ("command", None)], ids=str
)
async def test_tenant_that_takes_none(command: Command, op: OP, files: list[str], kind: Kind, of: str | None) -> None:
    """A tenant whose endpoint is off, and a token that leads to no tenant, are faults of the call: exit 2."""
    other = token(op, kind, iss="https://other.example")
    assert 2 == (await command("explain", other, *files, *(["--tenant", of] if of else []))).code


async def test_forged_security_event(command: Command, op: OP, files: list[str]) -> None:
    """The transmitter's keys decide."""
    forged = token(op, "set").rpartition(".")[0] + "." + token(op, "set", jti="j2").rpartition(".")[2]
    assert "signature" == (await command("explain", forged, *files, "--json")).json["verdict"]["code"]


WORLD = lax()
SETTINGS = Settings(
    public={"url": URL}, tenants=[{**WORLD.settings, **ON, "ssf": {"algorithms": list(WORLD.settings["algorithms"])}}]
)
TENANTS = TenantDirectory(tuple(tenant.to_tenant() for tenant in SETTINGS.all_tenants))
[TENANT] = TENANTS
KEYS = parse_key_set(WORLD.key_set)
OWN: dict[Kind, Any] = {
    "command": command_token.rules(address_of(URL, commands.PATH, TENANT)),
    "revocation": revocation_token.rules(address_of(URL, revocation.PATH, TENANT)),
}
CLAIMS: dict[Kind, dict[str, Any]] = {
    "set": {
        "iat": NOW, "sub_id": {"format": "opaque", "id": "s1"},
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
    },
    "command": {
        "iat": NOW, "exp": NOW + 120, "aud": f"{URL}/commands/lax", "client_id": "c1", "command": "invalidate",
        "tenant": "acme",
    },
    "revocation": {"exp": NOW + 120, "aud": f"{URL}/global-token-revocation/lax", "sub": "c1"},
}  # fmt: skip
TYPES: dict[Kind, str] = {
    "set": "secevent+jwt", "command": "command+jwt", "revocation": "global-token-revocation+jwt"
}  # fmt: skip
LEFT: dict[Kind, set[str]] = {"set": {"exp", "sub", "sid"}, "command": {"sid", "events"}, "revocation": {"sid", "iat"}}
kinds = st.sampled_from(list(CLAIMS))


def served(kind: Kind, compact: str) -> Code | None:
    """Why the service refuses it; None where it accepts it."""
    try:
        if kind == "set":
            transmitter = SETTINGS.tenants[0].ssf.to_transmitter(TENANT)  # type: ignore[union-attr]
            parsed = se.parse(compact)
            se.verify(se.screen(parsed, transmitter, NOW), KEYS)
            se.check_valid_now(parsed.claims, transmitter, NOW)
        else:
            unverified, tenant = logout_token.parse(compact, TENANTS, TENANT)
            examination = Examination.of_token(unverified, tenant, NOW)
            enforce(signed_token.screening(OWN[kind]), examination)
            examination.keys = KEYS
            enforce(signed_token.VERIFYING, examination)
    except ReceiverError as error:
        return error.code
    return None


def explained(kind: Kind, compact: str) -> Judgement:
    """What `explain` says."""
    case = case_of(kind, compact, SETTINGS, TENANTS, TENANT, now_s=NOW)
    examination = case.begin()
    examination.keys = KEYS
    return judge(examination, case.tenant, asked=case.asked)


def agree(kind: Kind, compact: str) -> Code | None:
    """Both say the same, and the list of rules shows why; what they say."""
    judgement = explained(kind, compact)
    failed = [finding for finding in judgement.findings if finding.outcome == "failed"]
    code = judgement.error.code if judgement.error else None

    assert served(kind, compact) == code
    assert code is Code.PUBLISH or [finding.code for finding in failed[:1]] == ([code] if code else [])
    assert all(finding.advice for finding in failed), "a rule refuses with a code it does not list"
    return code


def good(kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims that are accepted."""
    claims = {name: value for name, value in WORLD.claims().items() if name not in LEFT[kind]}
    return {**WORLD.header(), "typ": TYPES[kind]}, {**claims, **CLAIMS[kind]}


@examples(300)
@given(kind=kinds, header=st.data(), claims=claim_changes, without=absent | st.just(set()))
def test_agreement(kind: Kind, header: st.DataObject, claims: dict[str, Any], without: set[str]) -> None:
    """Any header and claims, really signed: `explain` and the service say the same of every kind."""
    changed = header.draw(st.just({}) | header_changes([*WORLD.world.keys]))
    head, payload = good(kind)
    changes = {name: value for name, value in claims.items() if name not in CLAIMS[kind] or name in without}
    payload = {name: value for name, value in {**payload, **changes}.items() if name not in without}
    agree(kind, WORLD.token({**head, **changed}, payload))


@examples(100)
@given(kind=kinds, data=st.data())
def test_agreement_on_changed_text(kind: Kind, data: st.DataObject) -> None:
    """The same for a token that was changed after it was signed, for any text, and for each claim's edges."""
    agree(kind, data.draw(mutations(WORLD.token(*good(kind)))))
    agree(kind, data.draw(st.text(max_size=60)))
    head, payload = good(kind)
    name = data.draw(st.sampled_from([*payload, "nonce", "sub", "exp", "nbf", "callback_token", "metadata"]))
    agree(kind, WORLD.token(head, {**payload, name: data.draw(json_values)}))


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_good_one_is_accepted_by_both(kind: Kind) -> None:
    """The property is not about refusals only; and the kind is known by its `typ`."""
    compact = WORLD.token(*good(kind))
    assert (None, kind) == (agree(kind, compact), kind_of(compact))

"""Properties of the real public listener, whatever is sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.fuzz import oracle
from tests.fuzz.strategies import absent, claim_changes, examples, header_changes, json_values
from tests.fuzz.worlds import b64
from tests.support.clock import NOW
from tests.support.receiver import FORM

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.fuzz.conftest import Live

pytestmark = pytest.mark.timeout(240)
"""Seconds. Hundreds of requests are work, not a wait: on a busy machine they take several times their usual 10 s."""

content_types = st.sampled_from(
    [
        FORM,
        FORM.upper(),
        f"{FORM}; charset=utf-8",
        f"{FORM};",
        f" {FORM}",
        "text/plain",
        "multipart/form-data; boundary=x",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=["C"]), max_size=40)
fields = st.sampled_from([b"logout_token", b"logout%5Ftoken", b"a", b"", b"%zz", b"%"])
forms = st.lists(st.tuples(fields, st.binary(max_size=60)), max_size=5).map(
    lambda pairs: b"&".join(name + b"=" + value for name, value in pairs)
)
bodies = st.binary(max_size=300) | forms | st.integers(0, 40_000).map(lambda size: b"logout_token=" + b"a" * size)


@examples(300)
@given(body=bodies, content_type=content_types)
def test_any_request_is_refused(live: Live, body: bytes, content_type: str) -> None:
    """Bytes that hold no token are refused whatever they are called: a 4xx, uncached, no event, no fault."""
    answer, events = live.send(body, content_type)

    assert answer.status in {400, 413}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.error == "invalid_request"
    assert 0 == events


def _agrees(live: Live, token: str) -> None:
    """The receiver and the oracle must say the same of this token; an event comes of it exactly where both say yes."""
    faults = [oracle.faults(token, op.world, NOW) for op in (live.lax, live.strict)]

    answer, events = live.logout(token)

    event("refused" if all(faults) else "accepted")
    if all(faults):
        assert (answer.status, events) in {(400, 0), (413, 0)}, (faults, answer.text)
        assert answer.error == "invalid_request"
    else:
        assert (200, "", 1) == (answer.status, answer.text, events)


def _changed(good: dict[str, Any], changes: dict[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if name not in without}


# For each OP a test of its own, so that the time limit of a test is for half of the examples.
@pytest.mark.parametrize("name", ["lax", "strict"])
@examples(400)
@given(data=st.data())
def test_signed_token_is_accepted_exactly_where_it_should(live: Live, name: str, data: st.DataObject) -> None:
    """A token the OP really signed is 200 when a second reading of the specification finds no fault, else 4xx."""
    op = live.lax if name == "lax" else live.strict
    header = _changed(op.header(), data.draw(st.just({}) | header_changes(list(op.world.keys))))
    claims = _changed(op.claims(), data.draw(claim_changes), data.draw(st.just(()) | absent))

    _agrees(live, op.token(header, claims))


@examples(300)
@given(header=json_values, claims=json_values, data=st.data())
def test_any_json_as_header_and_claims(live: Live, header: object, claims: object, data: st.DataObject) -> None:
    """Header and claims of any JSON, signed by the OP or by nobody, never make a fault and are never accepted."""
    op = data.draw(st.sampled_from([live.lax, live.strict]))
    parts = data.draw(st.sampled_from([(header, claims), (op.header(), claims), (header, op.claims())]))
    token = op.token(*parts)

    _agrees(live, token)
    _agrees(live, token.rpartition(".")[0] + ".")


@examples(100)
@given(data=st.data())
def test_signature_of_another_key_is_never_accepted(live: Live, data: st.DataObject) -> None:
    """Faultless claims under a signature by another key, or over other bytes, or none at all, are refused."""
    op = live.lax
    alg = data.draw(st.sampled_from(["RS256", "ES256", "EdDSA"]))
    wrong = data.draw(st.sampled_from(sorted({"RS256", "ES256", "EdDSA"} - {alg})))
    header = {"alg": alg, "kid": f"{alg} of lax"}
    good = op.token(header, op.claims())
    signed, _, _ = good.rpartition(".")
    forged = data.draw(
        st.sampled_from([op.token(header, op.claims(), wrong), f"{signed}.", f"{signed}.AAAA"])
        | st.binary(min_size=64, max_size=64).map(lambda raw: f"{signed}.{b64(raw)}")
    )

    answer, events = live.logout(forged)

    assert (400, 0) == (answer.status, events)

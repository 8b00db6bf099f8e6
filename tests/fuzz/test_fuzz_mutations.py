"""A valid token, changed: whatever still is accepted was signed by the OP as it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from receiver.core.tenants import TenantDirectory
from receiver.core.tokens import logout_token
from receiver.core.tokens.jwks import parse_key_set
from receiver.errors import Code, LogoutTokenError
from tests.fuzz.oracle import ALPHABET
from tests.fuzz.strategies import examples, json_values
from tests.fuzz.worlds import OPWorld, b64, lax, strict
from tests.support.clock import NOW

if TYPE_CHECKING:
    from tests.fuzz.conftest import Live

LAX, STRICT = lax(), strict()
OPS = {"lax": LAX, "strict": STRICT}
TENANTS = TenantDirectory((LAX.tenant, STRICT.tenant))
KEYS = {name: parse_key_set(op.key_set) for name, op in OPS.items()}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

ops = st.sampled_from([LAX, STRICT])

TOKENS = {name: op.valid() for name, op in OPS.items()}
"""Fixed for the run: an example must mean the same when hypothesis plays it again."""
OTHER = LAX.valid()


def refusal(token: str) -> Code | None:
    """Why the core refuses this token; None when it accepts it."""
    try:
        unverified, tenant = logout_token.parse(token, TENANTS)
        logout_token.accept(unverified, tenant, KEYS[tenant.name], NOW)
    except LogoutTokenError as error:
        return error.code
    return None


@st.composite
def mutations(draw: st.DrawFn, token: str) -> str:
    """The token with one thing done to its text."""
    at = draw(st.integers(0, len(token) - 1))
    parts = token.split(".")
    part = draw(st.integers(0, 2))
    other = OTHER.split(".")
    raw = parts[part].encode()
    bit = 1 << draw(st.integers(0, 6))
    return draw(
        st.sampled_from(
            [
                token[:at] + chr(ord(token[at]) ^ bit) + token[at + 1 :],
                token[:at] + draw(st.sampled_from(ALPHABET)) + token[at + 1 :],
                token[:at] + token[at].swapcase() + token[at + 1 :],
                token[:at],
                token[at:],
                token[:at] + token[at + 1 :],
                token[:at] + draw(st.sampled_from(" \n\t=+/.%\x00é-A")) + token[at:],
                token + draw(st.sampled_from(["=", "==", ".", " ", "\n", "A", "AA", "AAAA"])),
                ".".join(draw(st.permutations(parts))),
                ".".join(other[i] if i == part else parts[i] for i in range(3)),
                ".".join(b64(raw) if i == part else parts[i] for i in range(3)),
                ".".join("" if i == part else parts[i] for i in range(3)),
                token.swapcase(),
                token.replace("-", "+").replace("_", "/"),
                f"{parts[0]}.{parts[1]}",
                f"{token}.{parts[1]}",
            ]
        )
    )


@examples(1500)
@given(token=st.sampled_from(list(TOKENS.values())), data=st.data())
def test_changed_text_is_refused(token: str, data: st.DataObject) -> None:
    """No change to the text of a token survives, unless it left header and claims to the letter."""
    changed = data.draw(mutations(token))
    assume(changed != token)

    code = refusal(changed)

    event(str(code))
    assert code is not None or changed.rpartition(".")[0] == token.rpartition(".")[0]


@examples(150)
@given(data=st.data())
def test_changed_text_is_refused_over_http(live: Live, data: st.DataObject) -> None:
    """The same through form, listener and Redis: a 4xx and no event."""
    token = TOKENS["lax"]
    changed = data.draw(mutations(token))
    assume(changed != token)

    answer, events = live.logout("".join(f"%{byte:02X}" for byte in changed.encode()))

    assert (400, 0) == (answer.status, events)


@examples(300)
@given(op=ops, data=st.data())
def test_header_of_another_token_is_refused(op: OPWorld, data: st.DataObject) -> None:
    """A header swapped for any other, the claims and the signature kept, breaks the signature or a rule before it."""
    header, claims, signature = TOKENS[op.settings["name"]].split(".")
    changes = data.draw(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "x5t", "zip"]), json_values, min_size=1))
    swapped = b64(json.dumps({**op.header(), **changes}).encode())
    assume(swapped != header)

    assert refusal(f"{swapped}.{claims}.{signature}") is not None


def signed_over(op: OPWorld, parts: list[str]) -> str:
    """A token of this header and these claims, to the byte."""
    header, claims = parts
    return op.token(header.encode(), claims.encode())


@examples(300)
@given(op=ops, data=st.data())
def test_duplicated_member_is_refused_however_signed(op: OPWorld, data: st.DataObject) -> None:
    """A member written twice, at any level and even with the same value, is refused although the OP signed it."""
    header, claims = op.header(), op.claims()
    part: dict[str, Any] = data.draw(st.sampled_from([header, claims, claims["events"]]))
    name = data.draw(st.sampled_from(sorted(part)))
    value = data.draw(st.just(part[name]) | json_values)
    written = [json.dumps(whole) for whole in (header, claims)]
    member = f"{json.dumps(name)}: {json.dumps(part[name])}"
    first, second = data.draw(st.permutations([member, f"{json.dumps(name)}: {json.dumps(value)}"]))
    doubled = [text.replace(member, f"{first}, {second}", 1) for text in written]
    assume(doubled != written)

    # Another value may be no JSON at all, which is told first.
    assert refusal(signed_over(op, doubled)) in (Code.DUPLICATE_MEMBER, Code.MALFORMED)
    assert refusal(signed_over(op, written)) is None


@pytest.mark.parametrize("op", [LAX, STRICT], ids=["ES256", "EdDSA"])
def test_every_single_bit_counts(op: OPWorld) -> None:
    """Each bit of a token's text, flipped by itself, makes it refused."""
    token = op.valid()

    survivors = [
        (at, bit)
        for at, character in enumerate(token)
        for bit in range(8)
        if refusal(token[:at] + chr(ord(character) ^ 1 << bit) + token[at + 1 :]) is None
    ]

    assert [] == survivors


def test_second_form_of_an_ecdsa_signature_is_the_same_logout() -> None:
    """ECDSA has two signatures for the same bytes; the other one changes neither claims nor jti, so it is harmless."""
    signed, _, signature = LAX.valid().rpartition(".")
    r, s = _halves(signature)

    twin = b64(r.to_bytes(32, "big") + (P256_ORDER - s).to_bytes(32, "big"))

    assert refusal(f"{signed}.{twin}") is None


def _halves(signature: str) -> tuple[int, int]:
    from receiver.core.tokens.jws import decode_base64url

    raw = decode_base64url(signature)
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")

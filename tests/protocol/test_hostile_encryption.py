"""Whatever an encrypted token holds, the answer is a refusal and never a fault of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.tenants import TenantDirectory
from receiver.core.tokens.logout_token import parse
from receiver.errors import LogoutTokenError
from tests.protocol.baseline import TENANT, pem
from tests.support.keys import b64, ec_pair, rsa_pair

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["P-256", "EC", "A256GCM"]))
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=4
)
MEMBERS = st.sampled_from(["alg", "enc", "epk", "apu", "apv", "kid", "p2c", "p2s", "iv", "tag", "typ", "cty", "crit"])
EPHEMERAL_KEY = st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d", "kid"]), JSON).map(
    lambda changes: {"epk": {**ec_pair("ephemeral").published(use=None), **changes}}
)
ABLE = [replace(TENANT, decryption_key=pem(pair)) for pair in (rsa_pair("enc"), ec_pair("enc"))]


@settings(max_examples=200, deadline=None)
@given(
    alg=st.sampled_from(["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"]),
    changes=st.one_of(EPHEMERAL_KEY, st.dictionaries(MEMBERS, JSON, max_size=3)),
    segments=st.lists(st.binary(max_size=48).map(b64), min_size=4, max_size=4),
)
def test_any_encrypted_token(alg: str, changes: dict[str, Any], segments: list[str]) -> None:
    """Any header and any ciphertext are refused, whichever kind of key we have."""
    token = ".".join([b64(json.dumps({"alg": alg, "enc": "A256GCM", **changes})), *segments])

    for tenant in ABLE:
        with pytest.raises(LogoutTokenError):
            parse(token, TenantDirectory((tenant,)))

"""Files of logout tokens, made before anything is measured; one token a line."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import uuid
from typing import TYPE_CHECKING

from tests.support.keys import b64, rsa_pair
from tests.support.op import LOGOUT_EVENT, encode_token

if TYPE_CHECKING:
    from pathlib import Path

KID = "k1"
SIGNATURE_BYTES = 256
"""Of RS256 with a 2048-bit key, so that forged tokens are as long as good ones."""


def valid(file: Path, issuer: str, count: int) -> Path:
    """Different, really signed RS256 tokens; signing takes about half a millisecond each, on all cores."""
    rsa_pair(KID)  # made here, so that the children inherit it
    share = [(issuer, count // 8 + (number < count % 8)) for number in range(8)]
    with multiprocessing.get_context("fork").Pool(min(8, os.cpu_count() or 1)) as pool:
        file.write_text("".join(pool.starmap(_sign, share)))
    return file


def forged(file: Path, issuer: str, count: int) -> Path:
    """Tokens that are all right but for the key: each names another one that nobody published."""
    payload = b64(json.dumps(_claims(issuer)))
    with file.open("w") as output:
        for _ in range(count):
            header = b64(json.dumps({"alg": "RS256", "kid": str(uuid.uuid4()), "typ": "logout+jwt"}))
            output.write(f"{header}.{payload}.{b64(os.urandom(SIGNATURE_BYTES))}\n")
    return file


def _sign(issuer: str, count: int) -> str:
    header = {"alg": "RS256", "kid": KID, "typ": "logout+jwt"}
    return "".join(encode_token(header, _claims(issuer), rsa_pair(KID)) + "\n" for _ in range(count))


def _claims(issuer: str) -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": issuer,
        "sub": str(uuid.uuid4()),
        "sid": str(uuid.uuid4()),
        "aud": "c1",
        "iat": now,
        "exp": now + 3600,
        "jti": str(uuid.uuid4()),
        "events": {LOGOUT_EVENT: {}},
    }

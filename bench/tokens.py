"""Files of logout tokens, made before anything is measured; one token a line."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import uuid
from typing import TYPE_CHECKING

from demo.signing import KeyPair, b64, encode_token, logout_claims
from tests.support.keys import ec_pair, rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

KID = "k1"
SIGNATURE_BYTES = 256
"""Of RS256 with a 2048-bit key, so that forged tokens are as long as good ones."""


def pair(alg: str = "RS256") -> KeyPair:
    """What tokens of this algorithm, RS256 or ES256, are signed with."""
    return rsa_pair(KID) if alg == "RS256" else ec_pair(KID + alg)


def valid(file: Path, issuer: str, count: int, alg: str = "RS256") -> Path:
    """Different, really signed tokens; signing takes half a millisecond at the most each, on all cores."""
    pair(alg)  # made here, so that the children inherit it
    share = [(issuer, count // 8 + (number < count % 8), alg) for number in range(8)]
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


def _sign(issuer: str, count: int, alg: str) -> str:
    key = pair(alg)
    header = {"alg": alg, "kid": key.kid, "typ": "logout+jwt"}
    return "".join(encode_token(header, _claims(issuer), key) + "\n" for _ in range(count))


def _claims(issuer: str) -> dict[str, object]:
    now = int(time.time())
    names = {"sub": str(uuid.uuid4()), "sid": str(uuid.uuid4())}
    return logout_claims(issuer, "c1", now_s=now, exp=now + 3600, **names)

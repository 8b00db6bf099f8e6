"""A signed token taken apart by itself, without a tenant: what tests of single rules begin with."""

from __future__ import annotations

from receiver.core.tokens.jws import JWS_SEGMENTS, RULES, UnverifiedToken, check_shape, unverified
from receiver.core.tokens.rule import Examination, enforce
from receiver.errors import Code, LogoutTokenError


def parse_jws(token: str) -> UnverifiedToken:
    """Take a compact JWS apart and check everything that needs neither a tenant nor a key: rules 1.1 and 2.1 to 2.6.

    Raises:
        LogoutTokenError: `token_too_large`, `malformed`, `not_signed`, `duplicate_member`, `alg` or `crit`.
    """
    if check_shape(token) != JWS_SEGMENTS:
        raise LogoutTokenError(Code.NOT_SIGNED, "expected a signed token (three segments)")
    examination = Examination()
    examination.signed, examination.encrypted = token, False
    enforce(RULES, examination)
    return unverified(examination)

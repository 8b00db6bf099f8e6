"""Verify one token with its OP's keys, which are fetched anew where the token speaks against those at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from receiver.core.tokens.key_freshness import Evidence
from receiver.errors import Code, JWKSUnavailableError, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.tokens.jwks import KeySet
    from receiver.ingress.keys.tenant_keys import TenantKeys

Verified = TypeVar("Verified")

EVIDENCE = {Code.UNKNOWN_KID: Evidence.UNKNOWN_KID, Code.SIGNATURE: Evidence.SIGNATURE}
"""Refusals that may be the fault of the keys at hand: another key may have come under the same name, or without one."""


async def verify_with(
    keys: TenantKeys,
    verify: Callable[[KeySet], Verified],
    *,
    undecided: Callable[[KeySet | None, Evidence], None] = lambda _, __: None,
) -> Verified:
    """What `verify` returns for the OP's keys, asked again for newer ones as often as there are any.

    Args:
        keys: The OP's.
        verify: Verifies with one set; raises LogoutTokenError.
        undecided: Told, before this raises, when other keys than those at hand might verify the token: the set it
            speaks against, None where there is none, and what it shows against it.

    Raises:
        LogoutTokenError: `verify` refuses it, and there are no newer keys now.
        JWKSUnavailableError: there are no keys at all now.
    """
    known: KeySet | None = None
    try:
        known = await keys.current()
        while True:
            try:
                return verify(known)
            except LogoutTokenError as error:
                evidence = EVIDENCE.get(error.code)
                if evidence is None:
                    raise
                newer = await keys.newer_than(known, evidence)
                if newer is None:
                    # A forgery looks like a key changed a moment ago, or one that is not at every cache yet.
                    undecided(known, evidence)
                    raise
            known = newer
    except JWKSUnavailableError:
        undecided(known, Evidence.UNKNOWN_KID)
        raise

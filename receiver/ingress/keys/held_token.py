"""`HeldToken`: a token that waits for its key, as text.

A thousand may wait, and taken apart a token takes four times as much memory.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.tokens import jws
from receiver.core.tokens.key_freshness import Evidence
from receiver.core.tokens.rule import Examination, enforce

if TYPE_CHECKING:
    from receiver.core.tenants import Tenant
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.jws import UnverifiedToken


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldToken:
    """A token waiting for its key.

    Attributes:
        compact: The token as received.
        opened: The signed token that was inside; None where `compact` is not encrypted.
        tenant: The tenant it claims to come from.
        received_at: NumericDate seconds.
        known: The key set it speaks against; None when there was none at all, or it is no longer known.
        evidence: What it shows against that set.
        restored: Whether an earlier run held it, so that today's keys may be the ones that lacked its own.
    """

    compact: str
    opened: str | None
    tenant: Tenant
    received_at: float
    known: KeySet | None = None
    evidence: Evidence = Evidence.UNKNOWN_KID
    restored: bool = False

    @property
    def token(self) -> UnverifiedToken:
        """Screened, not verified; taken apart anew each time, but not decrypted again."""
        again = Examination()
        again.signed, again.encrypted = self.opened or self.compact, self.opened is not None
        enforce(jws.RULES, again)
        return jws.unverified(again)


def opened(token: UnverifiedToken) -> str | None:
    """What `HeldToken.opened` is of this token."""
    if not token.encrypted:
        return None
    # Rule 2.6 takes one text for these bytes and no other, so this is the text that was inside.
    signature = base64.urlsafe_b64encode(token.signature).rstrip(b"=")
    return f"{token.signing_input.decode('ascii')}.{signature.decode('ascii')}"

"""Signed tokens of other kinds than logout tokens: parse, find the tenant, screen by their own rules, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.tokens import signed_token
from receiver.core.tokens.rule import Examination, Rule, enforce
from receiver.ingress.keys.verification import verify_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.core.tokens.jwks import KeySet
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.inputs.token_parser import TokenParser
    from receiver.ingress.keys.key_store import KeyStore


class SignedTokens:
    """Verifies tokens with the keys of the OP they claim to come from. None waits for keys: its sender repeats it.

    Args:
        parser: Takes tokens apart.
        keys: The OPs' keys.
    """

    def __init__(self, parser: TokenParser, keys: KeyStore) -> None:
        self._parser = parser
        self._keys = keys

    async def verify(self, compact: str, message: Message, rules: Sequence[Rule]) -> Examination:
        """One token in which every rule has passed, so that its claims may be believed.

        Args:
            compact: The token as received.
            message: What it came in; its tenant and token are filled in, also when this raises.
            rules: Of its kind: `typ`, the claims and the dates. They are asked before any key. That `alg` is accepted
                and the rules on key and signature are asked in any case.

        Raises:
            LogoutTokenError: the first rule that fails.
            RequestError: `busy`, when too many encrypted tokens wait.
            JWKSUnavailableError: its keys cannot be had now.
        """
        token, tenant = await self._parser.parse(compact, message.path_tenant)
        message.token, message.tenant = token, tenant
        examination = Examination.of_token(token, tenant, message.received_at)
        enforce(signed_token.screening(rules), examination)

        def verify(key_set: KeySet) -> None:
            examination.keys = key_set
            enforce(signed_token.VERIFYING, examination)

        await verify_with(self._keys.of(tenant), verify)
        return examination

"""What happens to one logout token: parse, find its tenant, screen, get keys, verify; or wait for keys.

A valid token of an OP with its clock ahead becomes an eviction that waits in the outbox (`Eviction.not_before`).
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from receiver.core.tokens import jws, times
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.rule import Examination, Rule, enforce_together
from receiver.errors import LogoutTokenError, PublishError
from receiver.ingress.keys.held import HeldTokens
from receiver.ingress.keys.held_token import HeldToken, opened
from receiver.ingress.keys.verification import EVIDENCE, verify_with
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from receiver.core.eviction import Eviction
    from receiver.core.tenants import Tenant
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.key_freshness import Evidence
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.inputs.token_parser import TokenParser
    from receiver.ingress.intake import Intake
    from receiver.ingress.keys.key_store import KeyStore
    from receiver.ingress.outbox.store import Outbox
    from receiver.ops.metrics import Metrics
    from receiver.ops.sections import KeySettings


log = logging.getLogger("receiver.request")


def check_valid_now(token: lt.LogoutToken, tenant: Tenant, now_s: float) -> None:
    """Where nothing can wait, a token has to be valid now.

    Raises:
        PublishError: its OP's clock is ahead by more than `clock_skew_s`.
    """
    if token.valid_at(tenant) > now_s:
        raise PublishError(
            f"dated {token.newest_date - now_s:.0f} s in the future, more than clock_skew_s ({tenant.clock_skew_s:g}): "
            "check both clocks, or set outbox.path, where it can wait until it is valid"
        )


class TokenVerifier:
    """Verifies logout tokens with the keys of the OP they claim to come from.

    Args:
        parser: Takes tokens apart.
        keys: The OPs' keys.
        intake: Takes the evictions of tokens that waited for their keys.
        settings: How many tokens wait for keys, and how long.
        metrics: Counts them.
        clock: NumericDate seconds.
        outbox: Keeps waiting tokens across a restart, and is where early ones wait; without one the first are in memory
            only, and early ones are not acknowledged.
    """

    def __init__(
        self,
        parser: TokenParser,
        keys: KeyStore,
        intake: Intake,
        *,
        settings: KeySettings,
        metrics: Metrics,
        clock: Callable[[], float],
        outbox: Outbox | None = None,
    ) -> None:
        self._parser = parser
        self._keys = keys
        self._intake = intake
        self._clock = clock
        self._can_wait = outbox is not None
        self.held = HeldTokens(
            self._finish_held,
            functools.partial(intake.record_held, "backchannel"),
            keys,
            capacity=settings.held_tokens,
            keep_s=settings.held_s,
            metrics=metrics,
            clock=clock,
            outbox=outbox,
        )

    async def verify(self, compact: str, message: Message) -> tuple[Eviction, ...]:
        """What one logout token orders. Where only its key is missing, it is also held and taken in when that comes.

        Args:
            compact: The token as received.
            message: What it came in; its tenant and token are filled in, also when this raises.

        Raises:
            LogoutTokenError: the token fails a rule.
            RequestError: `busy`, when too many encrypted tokens wait.
            JWKSUnavailableError: its keys cannot be had now.
            PublishError: it is early, and there is no outbox.
        """
        token, tenant = await self._parser.parse(compact, message.path_tenant)
        message.token, message.tenant = token, tenant
        screened = lt.screen(token, tenant, message.received_at)
        accepted = await verify_with(
            self._keys.of(tenant),
            functools.partial(lt.verify, screened),
            undecided=functools.partial(self._hold, compact, message),
        )
        return self._evictions(accepted, tenant, message.received_at)

    def verify_together(self, asked: Sequence[tuple[str, Message]]) -> list[tuple[Eviction, ...] | Exception | None]:
        """As `verify` for each token and what it came in, rule by rule; without waiting for anything.

        Returns:
            For each what it orders, or the error that `verify` would raise; None where it has to be decrypted, or to
            wait for keys.
        """
        outcomes: list[tuple[Eviction, ...] | Exception | None] = [None] * len(asked)
        places: dict[Examination, int] = {}
        for place, (compact, message) in enumerate(asked):
            examination = self._parser.examined(compact, message)
            if examination is not None:
                places[examination] = place
        self._enforce(lt.PARSING_AT_ONCE, places, outcomes)
        for examination, place in places.items():
            message = asked[place][1]
            message.token, message.tenant = jws.unverified(examination), examination.tenant
        self._enforce(lt.SCREENING, places, outcomes)
        known = {examination: self._keys.of(examination.tenant).at_hand for examination in places}
        verified = [examination for examination, keys in known.items() if keys is not None]
        for examination in verified:
            examination.keys = known[examination]  # type: ignore[assignment]  # not None
        refused = enforce_together(lt.VERIFYING, verified)
        for examination in verified:
            place = places[examination]
            outcomes[place] = self._outcome(*asked[place], examination, refused.get(examination))
        return outcomes

    @staticmethod
    def _enforce(
        rules: Sequence[Rule], places: dict[Examination, int],
        outcomes: list[tuple[Eviction, ...] | Exception | None],
    ) -> None:  # fmt: skip
        for examination, error in enforce_together(rules, list(places)).items():
            outcomes[places.pop(examination)] = error

    def _outcome(
        self, compact: str, message: Message, found: Examination, error: Exception | None
    ) -> tuple[Eviction, ...] | Exception | None:
        try:
            if error is None:
                return self._evictions(lt.accepted(found), found.tenant, message.received_at)
            evidence = EVIDENCE.get(error.code) if isinstance(error, LogoutTokenError) else None
            if evidence is not None:
                if self._keys.of(found.tenant).may_get_newer(evidence):
                    return None
                self._hold(compact, message, found.key_set, evidence)
        except Exception as fault:  # noqa: BLE001  # of this one alone
            return fault
        return error

    def _hold(self, compact: str, message: Message, known: KeySet | None, evidence: Evidence) -> None:
        """Keep the message's token until other keys are there."""
        token, tenant = message.token, message.tenant
        assert token is not None  # noqa: S101  # both are set once it is taken apart
        assert tenant is not None  # noqa: S101
        if not self._can_wait and times.newest_date(token.claims) - tenant.clock_skew_s > message.received_at:
            return  # its keys could come before it is valid
        held = HeldToken(
            compact=compact, opened=opened(token), tenant=tenant, received_at=message.received_at, known=known,
            evidence=evidence,
        )  # fmt: skip
        message.held = self.held.hold(held)

    async def _finish_held(self, held: HeldToken, key_set: KeySet) -> Sequence[Accepted]:
        accepted = lt.accept(held.token, held.tenant, key_set, held.received_at)
        return await self._intake.take(self._evictions(accepted, held.tenant, held.received_at))

    def _evictions(self, accepted: lt.LogoutToken, tenant: Tenant, received_at: float) -> tuple[Eviction, ...]:
        now_s = self._clock()
        if not self._can_wait:
            check_valid_now(accepted, tenant, now_s)
        elif (wait_s := accepted.valid_at(tenant) - now_s) > 0:
            emit(
                log, logging.WARNING, "logout.early", tenant=tenant.name, ahead_s=round(accepted.newest_date - now_s),
                wait_s=round(wait_s),
                action="the OP's clock is ahead, or ours is behind; the logout is published once its token is valid. "
                "Check both clocks (NTP)",
            )  # fmt: skip
        return accepted.to_evictions(tenant, received_at)

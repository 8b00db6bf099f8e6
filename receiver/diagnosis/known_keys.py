"""Which keys a token is judged by: those the service has, and the OP's where these speak against the token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.shared_keys import SharedKeySets
from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.diagnosis.claim_text import instant
from receiver.diagnosis.op import DatingFetcher, fetch_key_set
from receiver.errors import DependencyError, JWKSUnavailableError
from receiver.ingress.keys.tenant_keys import shared_name
from receiver.ingress.keys.verification import EVIDENCE
from receiver.ops.redis_settings import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.tenants import Tenant
    from receiver.diagnosis.judgement import Judgement
    from receiver.ops.settings import Settings

    JudgedBy = Callable[[KeySet | DependencyError], Judgement]


@dataclass(frozen=True, slots=True)
class JudgementWithKeys:
    """A judgement, and the keys it was made with.

    Attributes:
        judgement: Of every rule.
        keys_from: What the keys are called; None when there were none.
        note: Where the service's keys and the OP's differ on the token; None where they do not.
    """

    judgement: Judgement
    keys_from: str | None = None
    note: str | None = None

    @property
    def speaks_against_keys(self) -> bool:
        """Whether other keys might judge otherwise."""
        error = self.judgement.error
        return error is not None and error.code in EVIDENCE


async def judge_as_the_service(settings: Settings, tenant: Tenant, judged_by: JudgedBy) -> JudgementWithKeys:
    """Judge by the copy that receivers share in Redis. Where there is none, or it speaks against the token, ask the OP.

    Args:
        settings: The service's.
        tenant: The keys' tenant.
        judged_by: Judges with some keys, or with why there are none.
    """
    by_copy = await _by_copy(settings, tenant, judged_by)
    if by_copy is not None and not by_copy.speaks_against_keys:
        return by_copy
    try:
        address, at_op = await _fetch(settings, tenant)
    except JWKSUnavailableError as error:
        if by_copy is None:
            return JudgementWithKeys(judged_by(error))
        return JudgementWithKeys(
            by_copy.judgement, by_copy.keys_from, f"the OP cannot be asked for newer keys: {error.message}"
        )
    by_op = JudgementWithKeys(judged_by(at_op), address)
    if by_copy is None:
        return by_op
    if by_op.speaks_against_keys:
        return JudgementWithKeys(by_copy.judgement, by_copy.keys_from, "the OP has no key for this token either")
    return JudgementWithKeys(
        by_op.judgement, address,
        f"the OP has another key than {by_copy.keys_from}. The service fetches it when such a token comes; within the "
        "cool-down (key_cooldown_s) after another one it answers 400, holds the token, and publishes it afterwards",
    )  # fmt: skip


async def _by_copy(settings: Settings, tenant: Tenant, judged_by: JudgedBy) -> JudgementWithKeys | None:
    """None where Redis has no copy, or cannot be asked."""
    if settings.redis.url == EMBEDDED:
        return None
    async with settings.redis.opened() as client:
        shared = SharedKeySets(client, settings.redis.key_names, keep_s=settings.keys.max_stale_s)
        try:
            stored = await shared.load(shared_name(tenant))
            key_set = parse_key_set(stored.document) if stored is not None else None
        except ValueError:
            return None
    if stored is None or key_set is None or not key_set.keys:
        return None
    return JudgementWithKeys(judged_by(key_set), f"the service's copy of {instant(stored.fetched_at)}")


async def _fetch(settings: Settings, tenant: Tenant) -> tuple[str, KeySet]:
    async with DatingFetcher(settings) as fetcher:
        return await fetch_key_set(fetcher, tenant)

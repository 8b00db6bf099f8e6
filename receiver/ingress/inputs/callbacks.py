"""What follows an `invalidate_async`: the OP is called once the order is done, or is told what is missing.

OpenID Provider Commands, "Asynchronous Response". Orders are in Redis, to outlive the receiver that took them.
One of all receivers looks after them. Each is judged as `receiver trace` judges it, at the moment of the call.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import logging
import time
from typing import TYPE_CHECKING, Final

from receiver.bus.callbacks import Callback, Callbacks
from receiver.bus.events.event_search import FoundEvent
from receiver.core.tokens.command_token import may_be_called
from receiver.ingress.inputs.poller import Poller
from receiver.ops.logs import emit
from receiver.ops.process_metrics import at_zero
from receiver.outbound.fetch import Answer, NoAnswer
from receiver.outbound.source import LONGEST_PAUSE_S as LONGEST_ASKED_S
from receiver.outbound.turns import retry_after_s

if TYPE_CHECKING:
    from receiver.bus.events.trace import Trace
    from receiver.core.tenants import Tenant
    from receiver.ingress.inputs.resources import Resources

log = logging.getLogger("receiver.commands")

NAME: Final = "op-callback"

LOOK_S = 1.0
"""Seconds between two looks at what is done by now."""

MOST = 50
"""Orders looked at in one turn, all at once."""

LONGEST_PAUSE_S = 300.0
"""The longest pause before an OP that did not take a call is called again, unless it asks for a longer one."""

KEEP_S = 86_400.0
"""Seconds after its deadline until an order is given up because its OP cannot be called."""

RESULTS = ("done", "not_done", "refused", "given_up")
"""How an order ends."""

REFUSED = frozenset({400, 401, 403, 404, 410})
"""Statuses after which the same call would be refused again (RFC 6750 §3.1)."""


class CallbackCalls(Poller):
    """Calls the OPs back.

    Args:
        resources: Of the receiver.
    """

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources, NAME, None, interval_s=LOOK_S)
        self._resources = resources
        self._callbacks = Callbacks(resources.redis, resources.keys)
        self._last = ""
        tenants = [one.name for one in resources.settings.all_tenants if one.commands is not None]
        at_zero(resources.metrics.callbacks, map(resources.metrics.tenant.of, tenants), RESULTS)

    async def look(self) -> float:
        """Call for every order that is done or past its deadline."""
        now = self._clock()
        kept = await self._callbacks.all()
        names = sorted(kept)
        # Where there are many, the next turn goes on behind these.
        begin = bisect.bisect_right(names, self._last)
        turn = [*names[begin:], *names[:begin]][:MOST]
        ends = await asyncio.gather(*(self._look_at(name, kept[name], now) for name in turn), return_exceptions=True)
        self._last = turn[-1] if turn else ""
        for end in ends:
            if end is not None:
                raise end
        return LOOK_S if len(names) <= MOST else 0.0

    async def _look_at(self, event_id: str, callback: Callback | None, now: float) -> None:
        if callback is None or now > callback.deadline + KEEP_S:
            await self._end(event_id, "given_up", None if callback is None else callback.eviction.tenant)
        # A time further off than any pause was noted by a clock that was ahead.
        elif not now < callback.not_before <= now + LONGEST_ASKED_S:
            await self._judge(callback, now)

    async def _judge(self, callback: Callback, now: float) -> None:
        traced = await self._resources.trace([FoundEvent(callback.entry_id, callback.eviction)])
        if not traced.complete and now < callback.deadline:
            return
        eviction = callback.eviction
        tenant = self._resources.tenants.by_name(eviction.tenant)
        endpoint = await self._callbacks.endpoint(callback.relation)
        if tenant is None or endpoint is None or not may_be_called(endpoint, tenant):
            await self._end(eviction.id, "given_up", eviction.tenant)
            return
        answer = await self._call(endpoint, tenant, callback, traced)
        if not isinstance(answer, NoAnswer) and answer.status // 100 == 2:  # noqa: PLR2004  # HTTP
            await self._end(eviction.id, "done" if traced.complete else "not_done", eviction.tenant)
        elif not isinstance(answer, NoAnswer) and answer.status in REFUSED:
            await self._end(eviction.id, "refused", eviction.tenant)
        else:
            await self._again(callback, answer, now)

    async def _call(self, endpoint: str, tenant: Tenant, callback: Callback, traced: Trace) -> Answer | NoAnswer:
        return await self._resources.fetcher.call(
            "POST", endpoint, tenant, json.dumps(result_of(traced)).encode(),
            authorization=f"Bearer {callback.token}",
        )  # fmt: skip

    async def _again(self, callback: Callback, answer: Answer | NoAnswer, now: float) -> None:
        asked_s = None if isinstance(answer, NoAnswer) else retry_after_s(answer.retry_after, time.time())
        backoff_s = min(LOOK_S * 2.0 ** min(callback.tries, 10), LONGEST_PAUSE_S)
        pause_s = max(min(asked_s or 0.0, LONGEST_ASKED_S), backoff_s)
        await self._callbacks.put(callback.again(now + pause_s))
        if not callback.tries:
            emit(
                log, logging.WARNING, "callback.failed", tenant=callback.eviction.tenant, event_id=callback.eviction.id,
                reason=answer.reason if isinstance(answer, NoAnswer) else f"HTTP {answer.status}",
            )  # fmt: skip

    async def _end(self, event_id: str, result: str, tenant: str | None) -> None:
        await self._callbacks.done(event_id)
        label = self._resources.metrics.tenant.of(tenant or "")
        self._resources.metrics.callbacks.labels(label, result).inc()
        level = logging.WARNING if result in {"refused", "given_up"} else logging.INFO
        emit(log, level, "callback.ended", tenant=tenant, event_id=event_id, result=result)


def result_of(traced: Trace) -> dict[str, object]:
    """What the OP is told (OPC, "Asynchronous Response"); the draft has no words for what is not done."""
    told: dict[str, object] = {"sub": traced.eviction.sub, "account_state": "active"}
    if traced.complete:
        return told
    missing = [app.app for app in traced.apps if not app.done]
    said = f"not every app has dropped the user: {', '.join(missing)}" if missing else "no app is known to listen"
    return {**told, "error": "not_done", "error_description": said, "missing": missing}

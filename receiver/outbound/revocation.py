"""Refresh tokens that left a cache are revoked at the OP as well (RFC 7009): in the background, best effort.

Tokens are in this process's memory only, in a bounded queue, and in no log. What cannot be revoked after a few tries
is given up and counted: the token is out of the cache already, and that is what the eviction promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from receiver.errors import without_passwords
from receiver.ops.logs import emit
from receiver.outbound.fetch import FORM, Fetcher, NoAnswer
from receiver.outbound.revocation_endpoint import RevocationEndpoint, TenantRevocation
from receiver.outbound.revocation_request import Outcome, RevocationClient, build_request, is_refresh_token, judge
from receiver.tasks import cancel, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from receiver.ops.tenant_settings import TenantSettings

log = logging.getLogger("receiver.revocation")

MAX_WAITING = 1000
"""Tokens that wait, for each tenant; further ones are dropped. Bounds memory, and how late a token is revoked."""

WORKERS = 4
"""Requests under way at once, for each tenant: a slow OP holds up its own tokens only."""

TRIES = 3
"""Requests for one token; after that it has failed."""

RETRY_S = 1.0
"""Seconds before the second try, four times as many before the third, unless the OP names a time."""

DRAIN_S = 5.0
"""Seconds `aclose` gives what still waits; what is left then is dropped."""

MAX_SAID = 1000
"""Problems remembered as said; beyond it no further unknown client is named in the log. Client ids come out of caches,
which others write."""


def revocations_of(tenants: Iterable[TenantSettings]) -> list[TenantRevocation]:
    """The tenants that revoke, their secrets read.

    Raises:
        ConfigurationError: a secret file cannot be read.
    """
    found = []
    for settings in tenants:
        if settings.revocation is None:
            continue
        clients = {
            client_id: RevocationClient(client.method, client.load_secret())
            for client_id, client in settings.revocation.clients.items()
        }
        endpoint = settings.revocation.endpoint
        found.append(TenantRevocation(tenant=settings.to_tenant(), endpoint=endpoint, clients=clients))
    return found


@dataclass(frozen=True, slots=True)
class _Waiting:
    client_id: str
    refresh_token: str = field(repr=False)


class _Lane:
    """What waits for one tenant."""

    def __init__(self, of: TenantRevocation, endpoint: RevocationEndpoint) -> None:
        self.tenant = of.tenant
        self.clients = of.clients
        self.endpoint = endpoint
        self.waiting: deque[_Waiting] = deque()
        self.added = asyncio.Event()

    async def take(self) -> _Waiting:
        """The next one, when there is one."""
        while not self.waiting:
            self.added.clear()
            await self.added.wait()
        return self.waiting.popleft()


class Revoker:
    """Revokes refresh tokens; run `run` as a task, and close it with `aclose`.

    Not thread-safe: every method belongs to the event loop that runs `run`.

    Args:
        tenants: Those that revoke; see `revocations_of`. Tokens of others are passed over.
        fetcher: Sends the requests; this object opens and closes it.
        count: Called once for every token, with the tenant's name and an `Outcome`.
        clock: NumericDate seconds.
        retry_s: See `RETRY_S`.
        max_waiting: See `MAX_WAITING`.
    """

    def __init__(
        self, tenants: Iterable[TenantRevocation], fetcher: Fetcher, *, count: Callable[[str, str], None],
        clock: Callable[[], float] = time.time,
        retry_s: float = RETRY_S, max_waiting: int = MAX_WAITING,
    ) -> None:  # fmt: skip
        self._fetcher = fetcher
        self._lanes = {
            one.tenant.name: _Lane(one, RevocationEndpoint(one, self._fetcher, clock=clock)) for one in tenants
        }
        self._count = count
        self._clock = clock
        self._retry_s = retry_s
        self._max_waiting = max_waiting
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closing = False
        self._stop = asyncio.Event()
        self._running = asyncio.Lock()
        self._said: set[tuple[str, ...]] = set()

    def revoke(self, tenant: str, client_id: str, refresh_token: str) -> None:
        """Hand over one refresh token; never waits, never raises.

        Nothing happens where the tenant does not revoke. The token may be revoked, or given up, at any time from now
        on. Handing over the same one again is harmless.

        Args:
            tenant: The tenant's name.
            client_id: The client the token was issued to.
            refresh_token: Taken out of the cache before.
        """
        lane = self._lanes.get(tenant)
        if lane is None:
            return
        if client_id not in lane.clients or not is_refresh_token(refresh_token):
            if client_id not in lane.clients and self._is_news("skipped", tenant, client_id):
                emit(
                    log, logging.INFO, "revocation.skipped", tenant=tenant, client_id=client_id,
                    action="name this client in the tenant's revocation.clients if its tokens should be revoked",
                )  # fmt: skip
            self._count(tenant, Outcome.SKIPPED)
        elif self._is_closing or len(lane.waiting) >= self._max_waiting:
            if not self._is_closing and self._is_news("dropped", tenant):
                emit(
                    log, logging.WARNING, "revocation.dropped", tenant=tenant, waiting=len(lane.waiting),
                    action="the OP is too slow or away; these tokens were removed from the caches and stay valid at "
                    "the OP",
                )  # fmt: skip
            self._count(tenant, Outcome.DROPPED)
        else:
            self._pending += 1
            self._idle.clear()
            lane.waiting.append(_Waiting(client_id, refresh_token))
            lane.added.set()

    async def run(self) -> None:
        """Revoke what is handed over, until `aclose`. Cancelled, it puts back what it had in hand."""
        async with self._running:
            await self._fetcher.open()
            workers = [asyncio.create_task(self._work(lane)) for lane in self._lanes.values() for _ in range(WORKERS)]
            stopping = asyncio.create_task(self._stop.wait())
            try:
                # A worker ends by a fault only, and the others end with it.
                ended, _ = await asyncio.wait([stopping, *workers], return_when=asyncio.FIRST_COMPLETED)
            finally:
                # A second cancellation while the workers end must not leave connections open.
                try:
                    await cancel(stopping, *workers)
                finally:
                    await finish(self._fetcher.aclose())
            for worker in ended - {stopping}:
                worker.result()

    async def aclose(self, *, drain_s: float = DRAIN_S) -> None:
        """Take no more, give what waits `drain_s` seconds, then drop it and stop `run`."""
        self._is_closing = True
        drain = asyncio.create_task(self.run()) if self._pending and not self._running.locked() else None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
            self._stop.set()
            if drain is not None:
                await drain
        finally:
            if drain is not None:
                await cancel(drain)
        async with self._running:
            self._drop_the_rest()

    def _drop_the_rest(self) -> None:
        for name, lane in self._lanes.items():
            if not lane.waiting:
                continue
            emit(log, logging.WARNING, "revocation.left", tenant=name, count=len(lane.waiting))
            for _ in range(len(lane.waiting)):
                self._count(name, Outcome.DROPPED)
            lane.waiting.clear()
        self._pending = 0
        self._idle.set()

    async def _work(self, lane: _Lane) -> None:
        name = lane.tenant.name
        while True:
            item = await lane.take()
            try:
                outcome = await self._revoke(lane, item)
            except asyncio.CancelledError:
                lane.waiting.appendleft(item)
                raise
            except Exception as error:  # noqa: BLE001  # one token must not end the work on all others
                # Its message could hold the token.
                emit(log, logging.ERROR, "revocation.fault", tenant=name, reason=type(error).__name__)
                outcome = Outcome.FAILED
            self._pending -= 1
            if not self._pending:
                self._idle.set()
            if not lane.waiting:
                self._said.discard(("dropped", name))
            self._count(name, outcome)

    async def _revoke(self, lane: _Lane, item: _Waiting) -> Outcome:
        name = lane.tenant.name
        request = build_request(item.client_id, lane.clients[item.client_id], item.refresh_token)
        wait_s: float | None = None
        reason = ""
        for tried in range(TRIES):
            if tried:
                pause_s = self._retry_s * 4 ** (tried - 1) * random.uniform(0.8, 1.2)  # noqa: S311  # not a secret
                await asyncio.sleep(pause_s if wait_s is None else wait_s)
            wait_s = None
            found = await lane.endpoint.find()
            if found.url is None:
                reason = found.reason
                if found.is_final:
                    return self._no_endpoint(name, reason)
                continue
            self._forget("no_endpoint", name)
            answer = await self._fetcher.call(
                "POST", found.url, lane.tenant, urlencode(request.form).encode(), FORM,
                authorization=request.authorization, reads_success=False,
            )  # fmt: skip
            if isinstance(answer, NoAnswer):
                reason = answer.reason
                continue
            verdict = judge(answer, self._clock())
            if verdict.outcome is None:
                reason, wait_s = without_passwords(f"{found.url}: {verdict.error}"), verdict.wait_s
                continue
            self._forget("failed", name)
            if verdict.outcome is Outcome.OK:
                self._forget("refused", name, item.client_id)
            elif self._is_news("refused", name, item.client_id, verdict.error):
                emit(
                    log, logging.WARNING, "revocation.refused", tenant=name, client_id=item.client_id,
                    status=answer.status, reason=verdict.error, action=verdict.action,
                )  # fmt: skip
            return verdict.outcome
        if self._is_news("failed", name):
            emit(log, logging.WARNING, "revocation.failed", tenant=name, client_id=item.client_id, reason=reason)
        return Outcome.FAILED

    def _no_endpoint(self, tenant: str, reason: str) -> Outcome:
        if self._is_news("no_endpoint", tenant):
            emit(
                log, logging.WARNING, "revocation.no_endpoint", tenant=tenant, reason=reason,
                action="set revocation.endpoint, or take revocation out of this tenant if the OP has none",
            )  # fmt: skip
        return Outcome.NO_ENDPOINT

    def _is_news(self, *problem: str) -> bool:
        """Whether this has not been said since it last was well: a line for each token would bury the rest."""
        if problem in self._said or (problem[0] == "skipped" and len(self._said) >= MAX_SAID):
            return False
        self._said.add(problem)
        return True

    def _forget(self, *problem: str) -> None:
        if self._said:
            self._said = {said for said in self._said if said[: len(problem)] != problem}

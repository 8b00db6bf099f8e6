"""Logout tokens taken apart; encrypted ones in a thread, so that a flood of them delays no other request."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jws import JWE_SEGMENTS, UnverifiedToken
from receiver.core.tokens.rule import Examination
from receiver.errors import Code, RequestError

if TYPE_CHECKING:
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.inputs.message import Message

THREADS = 1
"""Encrypted tokens opened at once. More threads open more of them, and take time from all other requests."""

MAX_WAITING = 64
"""Encrypted tokens that are being opened or wait for it; further ones are answered 429. The last one waits 2.6 s where
each takes the four tries of an RSA key of 4096 bits, about 40 ms."""


class TokenParser:
    """`logout_token.parse` for the event loop. Close it with `close`.

    Args:
        tenants: The configured ones.
    """

    def __init__(self, tenants: TenantDirectory) -> None:
        self._tenants = tenants
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="open-token")
        self._waiting = 0

    async def parse(self, compact: str, path_tenant: Tenant | None = None) -> tuple[UnverifiedToken, Tenant]:
        """As `logout_token.parse`. Waits for an encrypted token only.

        Raises:
            LogoutTokenError: the first rule that fails.
            RequestError: `busy`, when `MAX_WAITING` encrypted tokens wait.
        """
        if not is_encrypted(compact):
            return lt.parse(compact, self._tenants, path_tenant)
        if self._waiting >= MAX_WAITING:
            raise RequestError(Code.BUSY, f"{MAX_WAITING} encrypted tokens wait to be opened")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, lt.parse, compact, self._tenants, path_tenant
            )
        finally:
            self._waiting -= 1

    def examined(self, compact: str, message: Message) -> Examination | None:
        """The beginning of `parse`, for many at once; None for an encrypted token."""
        if is_encrypted(compact):
            return None
        return Examination.of_text(compact, self._tenants, message.path_tenant, now_s=message.received_at)

    def close(self) -> None:
        """Open no further token. One that is being opened is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def is_encrypted(compact: str) -> bool:
    """Whether to take it apart would take long."""
    return compact.count(".") == JWE_SEGMENTS - 1

"""Bearer tokens we show a transmitter or a realm: given out for good, or had by client credentials."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from receiver.errors import SourceError
from receiver.outbound.fetch import FORM, Fetcher, NoAnswer, basic_authorization

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.tenants import Tenant
    from receiver.ops.ssf_settings import AccessSettings

LONGEST_S = 86_400.0
"""Seconds a token is used at most, also where its issuer says more."""

EARLY_S = 30.0
"""Seconds before its end in which a token is replaced."""

SHORT_S = 60.0
"""Seconds that a token counts where the answer does not say its end."""


@dataclass(frozen=True, slots=True)
class _Held:
    authorization: str
    until_s: float


class AccessTokens:
    """What we put into `Authorization`.

    Args:
        settings: How we get it.
        tenant: The tenant of the OP that gives it out.
        fetcher: Open.
        monotonic: Monotonic seconds.
    """

    def __init__(
        self,
        settings: AccessSettings,
        tenant: Tenant,
        fetcher: Fetcher,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._tenant = tenant
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._held: _Held | None = None

    async def authorization(self) -> str:
        """The header's value.

        Raises:
            SourceError: no token is to be had.
            FetchError: the OP's discovery document is not to be had.
            ConfigurationError: a file cannot be read.
        """
        static = self._settings.load_token()
        if static is not None:
            return f"Bearer {static}"
        if self._held is None or self._monotonic() >= self._held.until_s:
            self._held = await self._fetch()
        return self._held.authorization

    def forget(self) -> None:
        """Get another one next time: this one was refused."""
        self._held = None

    async def _fetch(self) -> _Held:
        settings = self._settings
        endpoint = settings.token_endpoint or await self._fetcher.discovered("token_endpoint", self._tenant)
        form = {"grant_type": "client_credentials", **({"scope": settings.scope} if settings.scope else {})}
        answer = await self._fetcher.call(
            "POST", endpoint, self._tenant, urlencode(form).encode(), FORM,
            authorization=basic_authorization(settings.client_id or "", settings.load_secret()),
        )  # fmt: skip
        if isinstance(answer, NoAnswer):
            raise SourceError(answer.reason)
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        token = document.get("access_token") if isinstance(document, dict) else None
        if answer.status != 200 or not isinstance(token, str):  # noqa: PLR2004  # HTTP
            raise SourceError(f"{endpoint}: HTTP {answer.status} in place of a token", answer.status)
        lasts_s = document.get("expires_in")
        # Compared before it is reckoned with: JSON has numbers that no float holds.
        lasts_s = max(0.0, min(lasts_s, LONGEST_S + EARLY_S)) if isinstance(lasts_s, int | float) else SHORT_S
        return _Held(f"Bearer {token}", self._monotonic() + max(0.0, lasts_s - EARLY_S))

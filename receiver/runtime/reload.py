"""Tenants and files read again while the process runs: taken over as a whole, or refused as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError
from receiver.ops.logs import emit
from receiver.ops.settings import TENANT_SETTINGS, Settings
from receiver.ops.settings_source import states_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from receiver.ops.process_metrics import ProcessMetrics
    from receiver.ops.settings_source import SettingsSource, State

log = logging.getLogger("receiver.reload")

MAX_NAMES = 20
"""Tenants one log line names."""

RETRY_LOOKS = 15
"""Looks between two readings of files that were refused: what was missing may be a file that only they name."""


class Reload:
    """Looks whether files have changed, and has every part take the new settings over.

    Only tenants, and what stands in files, change while running. Other settings take effect at the next start.

    Args:
        settings: Those in force.
        source: Where they come from.
        parts: Take over new settings, in this order. Each is called in a thread; it raises ConfigurationError where it
            cannot use them, and changes nothing. What it returns is called in the event loop, and takes them over.
        metrics: Say how it went.
        after: Called when all have.

    Attributes:
        problem: Why the files as they are now are refused; empty when they are in force.
    """

    def __init__(
        self,
        settings: Settings,
        source: SettingsSource,
        parts: Sequence[Callable[[Settings], Callable[[], None]]],
        *,
        metrics: ProcessMetrics,
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._parts = parts
        self._metrics = metrics
        self._after = after
        self._asked = asyncio.Event()
        # Not as they are now: one may have changed while the process started.
        self._read = self._seen = source.states_when_read(settings)
        self._looks_since_refused = 0
        self.problem = ""

    def ask(self) -> None:
        """Read the files soon, changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Look until cancelled."""
        interval_s = self._settings.reload.interval_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s or None):
                    await self._asked.wait()
            if self._asked.is_set():
                self._asked.clear()
                await self.read()
            else:
                await self.look()

    async def look(self) -> None:
        """Read the files if they have changed since they were read, and not since the last look.

        One that is still being written could be half a file, with half of the tenants.
        """
        seen = await asyncio.to_thread(states_of, self._read)
        is_settled, self._seen = seen == self._seen, seen
        self._looks_since_refused += 1
        again = bool(self.problem) and self._looks_since_refused >= RETRY_LOOKS
        if is_settled and (seen != self._read or again):
            await self.read()

    async def read(self) -> None:
        """Read the files, and take over what they say; what cannot be used is refused, and said."""
        self._read = await asyncio.to_thread(states_of, self._read)
        try:
            settings, states, take_over = await asyncio.to_thread(self._prepared)
        except ConfigurationError as error:
            self._refuse(error.message)
            return
        for part in take_over:
            part()
        before, self._settings = self._settings, settings
        self._read = self._seen = states
        self.problem = ""
        self._metrics.config_ok.set(1)
        self._metrics.config_reloads.labels("ok").inc()
        emit(log, logging.INFO, "config.reloaded", tenants=len(settings.all_tenants), **_changes(before, settings))
        if self._after is not None:
            await self._after()

    def _refuse(self, reason: str) -> None:
        self._looks_since_refused = 0
        self._metrics.config_ok.set(0)
        self._metrics.config_reloads.labels("refused").inc()
        if reason != self.problem:
            emit(
                log, logging.ERROR, "config.refused", reason=reason,
                action="the previous settings stay in force; correct the files, as a restart would fail now",
            )  # fmt: skip
        self.problem = reason

    def _prepared(self) -> tuple[Settings, Mapping[Path, State | None], list[Callable[[], None]]]:
        new = self._source.read()
        if self._settings.all_tenants and not new.all_tenants:
            raise ConfigurationError("no tenant is left: a file that was cut short? To serve none, restart")
        settings = self._settings.model_copy(update={name: getattr(new, name) for name in TENANT_SETTINGS})
        if waiting := [name for name in Settings.model_fields if getattr(new, name) != getattr(settings, name)]:
            emit(
                log, logging.WARNING, "config.needs_restart", settings=waiting,
                action="restart the process: these settings have changed, and take effect at the next start",
            )  # fmt: skip
        return settings, self._source.states_when_read(settings), [prepare(settings) for prepare in self._parts]


def _changes(before: Settings, after: Settings) -> dict[str, object]:
    old = {tenant.name: tenant for tenant in before.all_tenants}
    new = {tenant.name: tenant for tenant in after.all_tenants}
    changed = [name for name in new.keys() & old.keys() if new[name] != old[name]]
    fields: dict[str, object] = {}
    for what, names in (("added", new.keys() - old.keys()), ("changed", changed), ("removed", old.keys() - new.keys())):
        fields[what] = len(names)
        fields[f"{what}_names"] = sorted(names)[:MAX_NAMES] or None
    return fields

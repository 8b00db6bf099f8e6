"""What is polled and watched, and which transmitters are heard, by the settings in force, also while it runs."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.ingress.inputs.ssf_push import PushStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from receiver.core.signals.transmitter import Transmitter
    from receiver.core.tenants import TenantDirectory
    from receiver.ingress.inputs.message import InputJob
    from receiver.ingress.inputs.resources import Resources
    from receiver.ops.settings import Settings
    from receiver.ops.tenant_settings import TenantSettings
    from receiver.runtime.supervisor import Supervisor


def transmitters_of(settings: Settings, tenants: TenantDirectory) -> dict[str, Transmitter]:
    """Senders of security events, by the name of their tenant."""
    return {
        one.name: one.ssf.to_transmitter(tenant)
        for one in settings.all_tenants
        if one.ssf is not None and (tenant := tenants.by_name(one.name)) is not None
    }


class Sources:
    """The input jobs of a running receiver, its transmitters, and the streams that are pushed.

    Args:
        resources: Of the receiver.
        jobs: Runs the jobs.
        made: Every input job of these resources' settings, not running yet.
    """

    def __init__(self, resources: Resources, jobs: Supervisor, made: Callable[[Resources], Sequence[InputJob]]) -> None:
        self._resources = resources
        self._jobs = jobs
        self._made = made
        self._of: Mapping[str, TenantSettings] = {}
        self._running: set[str] = set()
        self._refreshes = False

    def start(self) -> None:
        """Begin with the settings the receiver was started with.

        Raises:
            ConfigurationError: a file cannot be read.
        """
        self.prepare(self._resources.settings)()

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Follow other settings; a part of `runtime.reload.Reload`, after the one that takes the tenants over.

        Raises:
            ConfigurationError: a file cannot be read; nothing has changed.
        """
        streams = {
            tenant.name: PushStream.of(tenant.ssf.load_push_authorization(), tenant.ssf.stream_id)
            for tenant in settings.all_tenants
            if tenant.ssf is not None and tenant.ssf.delivery == "push"
        }
        return functools.partial(self._take_over, settings, streams)

    def _take_over(self, settings: Settings, streams: Mapping[str, PushStream]) -> None:
        resources = self._resources
        transmitters = transmitters_of(settings, resources.tenants)
        resources.security_events.use(transmitters)
        resources.push_streams.clear()
        resources.push_streams.update(streams)
        if transmitters and not self._refreshes and resources.command == "serve":
            self._refreshes = True
            self._jobs.start("ssf_key_refresh", resources.security_events.keys.keep_fresh, needed=False)
        before, self._of = self._of, {tenant.name: tenant for tenant in settings.all_tenants}
        changed = {name for name, tenant in self._of.items() if before.get(name) != tenant}
        self._follow(self._made(replace(resources, settings=settings)), changed)

    def _follow(self, made: Sequence[InputJob], changed: set[str]) -> None:
        before, self._running = self._running, {f"input:{job.name}" for job in made}
        for name in before - self._running:
            self._jobs.stop(name)
        for job in made:
            name = f"input:{job.name}"
            if name in before and job.of not in changed:
                continue
            if name in before:
                self._jobs.stop(name)
            self._jobs.start(name, job.run, needed=False, ask=functools.partial(getattr, job, "problem"))

"""Whether a process is ready, and why not: Redis, the jobs it needs, and that it is not stopping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receiver.runtime.redis_watch import RedisWatch
    from receiver.runtime.reload import Reload
    from receiver.runtime.supervisor import Supervisor


@dataclass(slots=True)
class Readiness:
    """The state of a process.

    Attributes:
        redis: Knows whether Redis answers.
        jobs: The background jobs.
        draining: True once the process was told to stop.
    """

    redis: RedisWatch
    jobs: Supervisor
    draining: bool = False
    reload: Reload | None = None

    @property
    def ready(self) -> bool:
        """Whether the process can do its work now."""
        return self.can_work() and not self.draining and not self.jobs.missing

    def can_work(self) -> bool:
        """Whether what the work depends on outside the process is there."""
        return self.redis.up

    def checks(self) -> dict[str, str]:
        """What readiness depends on: `ok`, or what is wrong."""
        return {
            "serving": "stopping after a signal" if self.draining else "ok",
            "redis": "ok" if self.redis.up else self.redis.last_error,
            "jobs": f"not running: {', '.join(self.jobs.missing)}" if self.jobs.missing else "ok",
        }

    def report(self) -> dict[str, object]:
        """What `/readyz` shows."""
        return {"checks": self.checks(), "jobs": self.jobs.report()}

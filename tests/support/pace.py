"""How often background jobs look at what they watch, in tests: what a test waits for comes within a tenth of a second.

Limits (how long something may take, when it counts as late) are as in production; only pauses are shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver import tasks
from receiver.bus.caches import cache_changes
from receiver.consumer import acks, subscriber
from receiver.consumer import group as consumer_group
from receiver.consumer import jobs as consumer_jobs
from receiver.evictor import coverage, recheck, share, watch, worker
from receiver.ingress import ack_watch, epoch_watch
from receiver.ingress.audit import log as audit_log
from receiver.ingress.keys import held, key_store
from receiver.ingress.outbox import publisher as outbox_publisher
from receiver.runtime import event_loop, listener, redis_watch
from receiver.tasks import Backoff

if TYPE_CHECKING:
    import pytest

LOOK_S = 0.05
"""Seconds between two looks."""

PAUSES = (
    (tasks, "CANCEL_AGAIN_S"),
    (redis_watch, "INTERVAL_S"),
    (event_loop, "INTERVAL_S"),
    (epoch_watch, "INTERVAL_S"),
    (ack_watch, "TAKE_EVERY_S"),
    (held, "TICK_S"),
    (key_store, "TICK_S"),
    (outbox_publisher, "TICK_S"),
    (outbox_publisher, "FIRST_PAUSE_S"),
    (outbox_publisher, "LONGEST_PAUSE_S"),
    (audit_log, "TICK_S"),
    (audit_log, "RETRY_S"),
    (cache_changes, "READ_S"),
    (recheck, "LOOK_S"),
    (coverage, "ASK_S"),
    (worker, "PROBE_S"),
    (watch, "HOLD_S"),
    (watch, "WAIT_S"),
    (watch, "PAUSE_S"),
    (acks, "RETRY_S"),
    (acks, "GATHER_S"),
    (consumer_group, "RETRY_S"),
    (consumer_group, "FINISH_S"),
)
"""Where the code keeps its pauses."""


BLOCK_S = 0.5
"""Seconds a read waits for events: what a listener does beside reading, it does at least as often."""


QUICK = Backoff(first_s=0.02, longest_s=0.05)
"""Pauses after which a job that failed is started again."""


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten them for a test. One that is about a pause sets its own afterwards."""
    for module, name in PAUSES:
        monkeypatch.setattr(module, name, LOOK_S)
    for reading in (subscriber, consumer_group, share):
        monkeypatch.setattr(reading, "BLOCK_S", BLOCK_S)
    monkeypatch.setattr(consumer_jobs, "RESTART", QUICK)
    # On loopback the kernel completes a connection at once.
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.0)

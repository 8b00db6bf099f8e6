"""The outbox: evictions that Redis did not take, on this machine's disk before the OP is told yes.

`OutboxPublisher` decides which way an eviction goes and publishes what waits; `Outbox` is the store, used from the
event loop; `file` and `database` are its SQLite file, used from one thread.
"""

from receiver.ingress.outbox.publisher import IN_OUTBOX, OutboxPublisher
from receiver.ingress.outbox.records import HeldRow
from receiver.ingress.outbox.store import Outbox

__all__ = ["IN_OUTBOX", "HeldRow", "Outbox", "OutboxPublisher"]

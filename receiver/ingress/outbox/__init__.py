"""The outbox: evictions that Redis did not take, on this machine's disk before the OP is told yes.

`OutboxPublisher` decides which way an eviction goes and publishes what waits; `Outbox` is the store, used from the
event loop; `file` and `database` are its SQLite file, used from one thread. `Outbox` is imported from
`store`, by what opens one: a receiver without an outbox does not import SQLite.
"""

from receiver.ingress.outbox.publisher import IN_OUTBOX, OutboxPublisher
from receiver.ingress.outbox.records import HeldRow

__all__ = ["IN_OUTBOX", "HeldRow", "OutboxPublisher"]

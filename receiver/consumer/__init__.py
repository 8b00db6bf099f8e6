"""What a web app imports: hear of evictions, and forget the user.

Needs `redis` only. `receiver.consumer.msal_cache` works on MSAL Python caches.
"""

from receiver.consumer.group import GroupSubscriber
from receiver.consumer.guard import Guard
from receiver.consumer.sessions import Sessions, SyncSessions, ThreadSessions
from receiver.consumer.subscriber import Subscriber
from receiver.consumer.thread_guard import ThreadGuard
from receiver.consumer.threads import ThreadGroupSubscriber, ThreadSubscriber
from receiver.core.eviction import Eviction

__all__ = [
    "Eviction",
    "GroupSubscriber",
    "Guard",
    "Sessions",
    "Subscriber",
    "SyncSessions",
    "ThreadGroupSubscriber",
    "ThreadGuard",
    "ThreadSessions",
    "ThreadSubscriber",
]

"""Every Redis key this project reads or writes, and what it means."""

from __future__ import annotations

from dataclasses import dataclass

from receiver.core.marks import EPOCH

DEFAULT_PREFIX = "{logout}"
"""The braces make it a cluster hash tag: all keys share one slot, so one script may touch them all."""


@dataclass(frozen=True, slots=True)
class KeyNames:
    """Key names under one prefix.

    Attributes:
        prefix: Default `{logout}`. Publisher and consumers must agree on it; on Redis Cluster keep the braces.
    """

    prefix: str = DEFAULT_PREFIX

    @property
    def of_canary(self) -> KeyNames:
        """The keys of the canary's logouts, which nothing but the canary reads: a stream, and all that goes with it."""
        return KeyNames(f"{self.prefix}:canary")

    @property
    def events(self) -> str:
        """Stream: one entry per eviction, field `event` (JSON) and `n` (consecutive number)."""
        return f"{self.prefix}:events"

    @property
    def sequence(self) -> str:
        """Integer: the last `n` given to an entry."""
        return f"{self.prefix}:sequence"

    def jti(self, eviction_id: str) -> str:
        """String: stream id of the entry already published with this event id; expires."""
        return f"{self.prefix}:jti:{eviction_id}"

    def logout(self, subject: str) -> str:
        """String: the latest `logout_at` published for one `core.repeats.subject_of`, and its event id; expires."""
        return f"{self.prefix}:logout:{subject}"

    def further(self, eviction_id: str) -> str:
        """String: the last 100 ids of further events of an (iss, jti), by the id of its first event; expires."""
        return f"{self.prefix}:further:{eviction_id}"

    def jwks(self, tenant: str) -> str:
        """String: the last good JWKS of a tenant with the time it was fetched, shared by all receivers."""
        return f"{self.prefix}:jwks:{tenant}"

    def stream(self, tenant: str) -> str:
        """Hash: what a tenant's transmitter has said of our stream of security events last."""
        return f"{self.prefix}:ssf:{tenant}"

    def stream_state(self, tenant: str, state: str) -> str:
        """String: a verification of that stream which was asked for: `asked`, then `verified`; expires."""
        return f"{self.stream(tenant)}:state:{state}"

    def poller(self, name: str) -> str:
        """String: the receiver that polls a source now; expires unless it is renewed."""
        return f"{self.prefix}:poller:{name}"

    def watch(self, name: str) -> str:
        """Hash: how far a source that is watched was taken in (`bus.watches.Position`)."""
        return f"{self.prefix}:watch:{name}"

    def watch_off(self, name: str) -> str:
        """Hash: the accounts of that source that are known to be disabled."""
        return f"{self.watch(name)}:off"

    @property
    def callbacks(self) -> str:
        """Hash: event id to an order that its OP is called back about once it is done (`bus.callbacks.Callback`)."""
        return f"{self.prefix}:callbacks"

    @property
    def callback_endpoints(self) -> str:
        """Hash: OP, its tenant and our client, as a JSON list, to the address that is called."""
        return f"{self.callbacks}:endpoints"

    def mark(self, digest: str, suffix: str = "") -> str:
        """String: the latest logout of one subject, account or session, as `core.marks` says; expires.

        Args:
            digest: Of the subject, account or session (`core.marks.digest`), or of a session and a subject, joined
                by `+`.
            suffix: Of one client, where a logout counts for that client only.
        """
        return f"{self.prefix}:mark:{digest}{suffix}"

    @property
    def epoch(self) -> str:
        """String: NumericDate seconds when a receiver found that Redis had lost its marks, the latest time.

        Named like a mark, so that the right to read marks is enough.
        """
        return self.mark(EPOCH)

    def anew(self, name: str) -> str:
        """String: value of the latest mark that one sign-in (`core.marks.anew_name`) is newer than; expires.

        Below the marks, so that who may read and write those may read and write these.
        """
        return f"{self.prefix}:mark:anew:{name}"

    def user(self, digest: str) -> str:
        """String: the registered sessions of one subject, one per line; expires with the last of them."""
        return f"{self.prefix}:user:{digest}"

    def session_bucket(self, digest: str) -> str:
        """Hash: session digest to the subjects that registered it; many sessions share one key to save memory."""
        return f"{self.prefix}:sids:{_bucket(digest)}"

    def account_bucket(self, digest: str) -> str:
        """Hash: account digest to the subjects of it, where an OP names a user differently to every client."""
        return f"{self.prefix}:account:{_bucket(digest)}"

    def index_bucket(self, digest: str) -> str:
        """Hash: subject or session digest to the accounts the evictor found for it in the caches."""
        return f"{self.prefix}:index:{_bucket(digest)}"

    @property
    def full_buckets(self) -> str:
        """Hash: what lacked room, to NumericDate seconds until something may be missing there.

        A bucket stands for itself; a name that had room for its newest members only, for bucket and name with a space
        between them. Named like a bucket of the index, so that the rights to those are enough.
        """
        return f"{self.prefix}:index:full"

    def places_bucket(self, digest: str) -> str:
        """Hash: account, subject or session digest to the cache keys the evictor found it in."""
        return f"{self.prefix}:places:{_bucket(digest)}"

    def name(self, digest: str) -> str:
        """Hash: the subjects of all users of this name at one issuer, JSON, to when that expires; expires."""
        return f"{self.prefix}:name:{digest}"

    def removal(self, digest: str) -> str:
        """Hash: what the evictor removed from an account's or a key's caches, and how often again; expires."""
        return f"{self.prefix}:removed:{digest}"

    @property
    def rechecks(self) -> str:
        """Sorted set: evictions to be checked again, by the milliseconds when that is due."""
        return f"{self.prefix}:rechecks"

    def recheck(self, eviction_id: str) -> str:
        """String: what one of them was and where, JSON; expires."""
        return f"{self.rechecks}:{eviction_id}"

    @property
    def watcher(self) -> str:
        """String: the evictor that reads the caches now; expires unless it is renewed."""
        return f"{self.prefix}:watcher"

    def watched(self, cache: str) -> str:
        """String: the evictor that watches hears of every write to this cache; expires unless it is said again."""
        return f"{self.watcher}:{cache}"

    @property
    def acks(self) -> str:
        """List: acknowledgements no receiver has counted yet; bounded."""
        return f"{self.prefix}:acks"

    def acks_of(self, event_id: str) -> str:
        """Hash: `app/instance` to milliseconds when it had dropped the user of this event; expires."""
        return f"{self.acks}:{event_id}"

    @property
    def instances(self) -> str:
        """Sorted set: `app/instance` by the milliseconds it was last heard of."""
        return f"{self.prefix}:instances"

    @property
    def instances_since(self) -> str:
        """Sorted set: `app/instance` by the milliseconds it began to listen."""
        return f"{self.prefix}:instances:since"

    def group(self, group: str) -> str:
        """Hash: how far a consumer group has read (`n`), and whether a reset is due."""
        return f"{self.prefix}:group:{group}"

    def dead_letters(self, group: str) -> str:
        """List: entries a group could not handle, as JSON; bounded."""
        return f"{self.prefix}:poison:{group}"


def _bucket(digest: str) -> str:
    """One of 8,192: some 120 entries each for a million sessions, which Redis keeps packed and finds fast."""
    return f"{digest[:2]}{ord(digest[2]) % 2}"

"""What the bytes of a registered session are: what its parts cost in Redis, and what other forms of them would cost.

Usage: python -m bench.session_bytes

A sixteenth of a million sessions, in a sixteenth of the buckets: each bucket, and Redis's tables of keys and of
expiries, are as full as at a million. Only the first form is one that this project writes.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import base64
import json
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import redis

from bench.footprint import BATCH, LIFETIME_S, NOW_S, SOCKET_S, sign_in
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.sign_ins.registry import REGISTER, register_calls

if TYPE_CHECKING:
    from redis.client import Pipeline

SESSIONS, BUCKETS = 63_000, 516


class Names(KeyNames):
    """With fewer buckets."""

    def session_bucket(self, digest: str) -> str:
        """One of `BUCKETS`."""
        return f"{self.prefix}:sids:{zlib.crc32(digest.encode()) % BUCKETS}"

    def account_bucket(self, digest: str) -> str:
        """One of `BUCKETS`."""
        return f"{self.prefix}:account:{zlib.crc32(digest.encode()) % BUCKETS}"


KEYS = Names()


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a session.

    Attributes:
        user, sid, account: Whether that key is written at all.
        expires: Whether the user's key does.
        four_bytes: Dates are four bytes, not ten digits.
        raw: Digests are twelve bytes, not sixteen characters.
        linked: The user's line has the digests of its session and account, by which the buckets are found.
        dated: Entries of buckets have a date of their own.
        packed: Users are fields of buckets, too.
    """

    user: bool = True
    sid: bool = True
    account: bool = True
    expires: bool = True
    four_bytes: bool = False
    raw: bool = False
    linked: bool = True
    dated: bool = True
    packed: bool = False

    def write(self, pipeline: Pipeline, number: int) -> None:
        """The commands that leave the keys which register.lua leaves, in this form."""
        session = sign_in(number, "portal")
        user, sid, account = map(self._digest, session.digests)
        expires, began = self._date(NOW_S + LIFETIME_S), self._date(NOW_S - 600)
        texts = [json.dumps(text).encode() for text in ("portal", session.home_account_id, session.keys[0])]
        linked = (sid, account) if self.linked else (b"", b"")
        line = b"\t".join([expires, began, b"", texts[0], linked[0], texts[1], linked[1], texts[2]])
        if self.packed:
            bucket = KEYS.session_bucket(session.digests[0]).replace("sids", "users")
            pipeline.hset(bucket, user, line)
        elif self.user:
            pipeline.set(KEYS.user("").encode() + user, line, ex=LIFETIME_S if self.expires else None)
        entry = expires + b"," + user if self.dated else user
        if self.sid:
            pipeline.hset(KEYS.session_bucket(session.digests[1]), sid, entry)
        if self.account:
            pipeline.hset(KEYS.account_bucket(session.digests[2]), account, entry)

    def _date(self, at: int) -> bytes:
        return at.to_bytes(4, "big") if self.four_bytes else b"%d" % at

    def _digest(self, digest: str) -> bytes:
        return base64.urlsafe_b64decode(digest) if self.raw else digest.encode()


class Registered(Form):
    """As register.lua writes it."""

    def write(self, pipeline: Pipeline, number: int) -> None:
        """The call of the script."""
        [(names, rest)] = register_calls(KEYS, sign_in(number, "portal"), now_s=NOW_S, lifetime_s=LIFETIME_S)
        pipeline.eval(REGISTER.text, len(names), *names, *rest)


PLAIN = Form()
FORMS = {
    "registered": Registered(),
    "the same, by plain commands": PLAIN,
    "part: user's key, without its expiry": replace(PLAIN, sid=False, account=False, expires=False),
    "part: user's key": replace(PLAIN, sid=False, account=False),
    "part: entry of the session": replace(PLAIN, user=False, account=False),
    "part: entry of the account": replace(PLAIN, user=False, sid=False),
    "dates of four bytes": replace(PLAIN, four_bytes=True),
    "digests of twelve bytes": replace(PLAIN, raw=True),
    "both": replace(PLAIN, four_bytes=True, raw=True),
    "no digests in the user's line": replace(PLAIN, linked=False),
    "no dates in the buckets": replace(PLAIN, dated=False),
    "user's key without expiry": replace(PLAIN, expires=False),
    "users as fields of buckets": replace(PLAIN, packed=True),
}


def used(url: str) -> int:
    """Bytes of data and of one new connection."""
    with redis.Redis.from_url(url, socket_timeout=SOCKET_S) as client:
        return int(client.info("memory")["used_memory"])


def fill(url: str, form: Form, count: int) -> None:
    """Write so many sessions."""
    with redis.Redis.from_url(url, socket_timeout=SOCKET_S) as client:
        for start in range(0, count, BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(start, min(start + BATCH, count)):
                    form.write(pipeline, number)
                pipeline.execute()


def bytes_each(form: Form) -> float:
    """Bytes per session of this form."""
    # Neither its log of slow commands nor its histograms, one for each command used, belong to a session.
    with EmbeddedRedis(arguments=("--slowlog-log-slower-than", "-1")) as server:
        fill(server.url, form, 1)
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        empty = used(server.url)
        fill(server.url, form, SESSIONS)
        return (used(server.url) - empty) / SESSIONS


def main() -> None:
    """Measure and show."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "").parse_args()
    print("| form | bytes |\n|---|---|")
    for name, form in FORMS.items():
        print(f"| {name} | {bytes_each(form):.0f} |", flush=True)


if __name__ == "__main__":
    main()

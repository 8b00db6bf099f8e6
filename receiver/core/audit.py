"""The audit log's records: their form, the chain they make, and digests in place of the user they are about.

One record is one line of JSON. It holds the hash of the record before it, and its own; the last record of each write is
signed, so that what was written cannot be changed, left out or put in without the key. `sub` and `sid` stand in
it as keyed digests. docs/audit.md describes it for operators, docs/schemas/audit-record.schema.json for programs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from receiver.core.numeric_date import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = 1
"""The member `audit`. A change that an existing reader cannot follow gets a new number."""

BEGINNING = "0" * 64
"""What the first record of a chain has as the hash before it."""

MIN_SECRET_CHARS = 32
"""Shortest key: a reader who guesses it can find out which users are meant, and sign."""

START = '{"audit":'
"""How every record begins. Other lines, for instance of the service's own log, do not."""

_HASH = ',"hash":"'
# Nothing is hashed behind the hash. JSON lets a later member of a name replace an earlier one, so what was put there
# could say anything.
_ENDING = re.compile(r'[0-9a-f]{64}"(?:,"mac":"[^"]*")?\}\s*')
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)
_encode = json.JSONEncoder(separators=(",", ":")).encode

Kind = Literal["sub", "sid"]


@dataclass(frozen=True, slots=True)
class AuditKey:
    """One key, with the name records know it by.

    Attributes:
        id: The name.
        secret: The key; digests and signatures each have one of their own, derived from it.
    """

    id: str
    secret: bytes = field(repr=False)
    _digests: bytes = field(init=False, repr=False)
    _signatures: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One key for each purpose: the log shows digests to everyone who reads it, and none of them may pass for a
        # signature.
        for name in ("digests", "signatures"):
            object.__setattr__(self, f"_{name}", hmac.digest(self.secret, f"audit {name}".encode(), "sha256"))

    def digest(self, kind: Kind, tenant: str, value: str) -> str:
        """What stands for a `sub` or `sid` of a tenant: 32 hexadecimal digits, the same for the same one."""
        # Keyed (HMAC, RFC 2104): subjects are few enough to be tried one by one, and a plain hash would give them away.
        # No tenant's name has a line break.
        text = f"{kind}\n{tenant}\n{value}".encode(errors="surrogatepass")
        return hmac.digest(self._digests, text, "sha256").hex()[:32]

    def sign(self, record_hash: str) -> str:
        """The signature of a record: 64 hexadecimal digits over its hash."""
        return hmac.digest(self._signatures, record_hash.encode(), "sha256").hex()


def parse_keys(text: str) -> tuple[AuditKey, ...]:
    """The keys of a setting or a file, one a line: a name and the key. The first one is written with.

    Empty lines and lines that begin with `#` are left out.

    Raises:
        ValueError: no key, a line of another form, a name twice, or a key that is too short. No key is quoted.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not _KEY_ID.fullmatch(words[0]):  # noqa: PLR2004  # a name and a key
            raise ValueError(f"key: line {number} is not a name of letters, digits and ._- and a key")
        if len(words[1]) < MIN_SECRET_CHARS:
            raise ValueError(
                f"key: line {number}: a key has {MIN_SECRET_CHARS} characters or more; `openssl rand -hex 32` makes one"
            )
        keys.append(AuditKey(words[0], words[1].encode()))
    if not keys:
        raise ValueError("key is empty")
    if len({key.id for key in keys}) != len(keys):
        raise ValueError("key: the same name stands twice")
    return tuple(keys)


class Chain:
    """The records of one process, each tied to the one before.

    Args:
        name: Of the chain; each process has another.
        key: What is written with.
    """

    def __init__(self, name: str, key: AuditKey) -> None:
        self._name = name
        self._key = key
        self._number = 0
        self._last = BEGINNING

    def lines(self, records: Sequence[Mapping[str, object]]) -> str:
        """These records as lines, the last one signed.

        Args:
            records: At least one: `time` in NumericDate seconds, `decision`, and what else it has; members that are
                None are left out. `sub` and `sid`, where given with a `tenant`, become digests.
        """
        lines = []
        for record in records:
            text = _encode(self._complete(record))
            # Over the bytes as they are written, up to the hash: a reader need not write JSON as Python does to check
            # it.
            self._last = hashlib.sha256(text[:-1].encode()).hexdigest()
            self._number += 1
            lines.append(f'{text[:-1]}{_HASH}{self._last}"}}\n')
        # One signature for a write: the chain ties the records before it to the last.
        lines[-1] = f'{lines[-1][:-2]},"mac":"{self._key.sign(self._last)}"}}\n'
        return "".join(lines)

    def _complete(self, record: Mapping[str, object]) -> dict[str, object]:
        complete: dict[str, object] = {"audit": FORMAT, "chain": self._name, "n": self._number}
        complete.update((name, value) for name, value in record.items() if value is not None)
        complete["time"] = rfc3339(record["time"])  # type: ignore[arg-type]
        for kind in ("sub", "sid"):
            if kind in complete:
                complete[kind] = self._key.digest(kind, str(record["tenant"]), str(record[kind]))
        complete.update(key=self._key.id, prev=self._last)
        return complete


@dataclass(slots=True)
class ChainReport:
    """What reading has shown of one chain.

    Attributes:
        name: Of the chain.
        records: How many were read.
        first: The number of the first one; 0 unless earlier files were not given.
        since: Its time.
        until: The time of the last one.
        ended: Whether its process has written that it stopped; one that runs or was killed has not.
        omitted: Records that the process could not keep, as it says itself.
        unsigned: Records after the last one that is signed with a key at hand.
        fault: The first thing that is wrong; empty when nothing is.
    """

    name: str
    records: int = 0
    first: int = 0
    since: str = ""
    until: str = ""
    ended: bool = False
    omitted: int = 0
    unsigned: int = 0
    fault: str = ""
    _last: str = BEGINNING

    @property
    def verdict(self) -> str:
        """Why the chain cannot be trusted; empty when it can."""
        if not self.fault and self.unsigned:
            return f"the last {self.unsigned} records are not signed with a key at hand"
        return self.fault

    def add(self, line: str, record: Mapping[str, Any], keys: Mapping[str, AuditKey]) -> None:
        """Read one more record."""
        if not self.records:
            self.first, self.since = record["n"], record["time"]
            # Earlier files may be archived elsewhere: the first record at hand is then believed about the one before.
            self._last = record["prev"] if self.first else BEGINNING
        self.fault = self.fault or self._fault(line, record, keys)
        self.records += 1
        self.until, self._last = record["time"], record["hash"]
        self.ended = record["decision"] == "ended"
        self.omitted += record.get("lost", 0)
        self.unsigned = 0 if "mac" in record and record["key"] in keys else self.unsigned + 1

    def _fault(self, line: str, record: Mapping[str, Any], keys: Mapping[str, AuditKey]) -> str:
        expected = self.first + self.records
        # The cause before what follows from it: after a gap the next hash does not fit either.
        if self.ended:
            return f"record {record['n']} comes after the end"
        if record["n"] != expected:
            return f"record {expected} is missing: {record['n']} comes next"
        if record["prev"] != self._last:
            return f"record {record['n']} does not follow the one before"
        hashed, _, ending = line.partition(_HASH)
        digest = hashlib.sha256(hashed.encode(errors="surrogatepass")).hexdigest()
        if digest != record["hash"] or not _ENDING.fullmatch(ending):
            return f"record {record['n']} was changed"
        key = keys.get(record["key"])
        mac = str(record.get("mac")).encode(errors="surrogatepass")
        # In constant time: how far a forged signature agrees must not be told.
        if key and "mac" in record and not hmac.compare_digest(key.sign(record["hash"]).encode(), mac):
            return f"the signature of record {record['n']} is wrong"
        return ""


@dataclass(slots=True)
class Reading:
    """What reading some files has shown.

    Attributes:
        chains: In the order they were met.
        torn: Lines that begin as a record and are none: of a process killed while it wrote, or damaged.
        unknown_keys: Names of keys that records were written with and that are not at hand.
    """

    chains: dict[str, ChainReport] = field(default_factory=dict)
    torn: int = 0
    unknown_keys: set[str] = field(default_factory=set)

    @property
    def is_good(self) -> bool:
        """Whether there is something to trust, and nothing against it; a line torn at a kill is not."""
        return bool(self.chains) and not any(chain.verdict for chain in self.chains.values())


def read(lines: Iterable[str], keys: Sequence[AuditKey]) -> Reading:
    """Read records of any number of chains, those of one chain in their order, and check what they say.

    Args:
        lines: Of the files, one after the other; what is no record is passed over.
        keys: Those at hand.
    """
    by_id = {key.id: key for key in keys}
    reading = Reading()
    for line in lines:
        record = record_in(line)
        if record is None:
            reading.torn += START in line
            continue
        if record["key"] not in by_id:
            reading.unknown_keys.add(record["key"])
        chain = reading.chains.setdefault(record["chain"], ChainReport(record["chain"]))
        chain.add(line[line.index(START) :], record, by_id)
    return reading


def find(
    lines: Iterable[str], keys: Sequence[AuditKey], wanted: Mapping[Kind, str], tenant: str | None = None, *,
    skipped: dict[str, int],
) -> Iterable[dict[str, Any]]:  # fmt: skip
    """The records about a user or a session.

    Args:
        lines: Of the files.
        keys: Those at hand; records written with another cannot be searched.
        wanted: The `sub`, the `sid` or both; a record has to match all that are given.
        tenant: Its name; None looks at every tenant.
        skipped: Filled in: names of keys that are not at hand, with how many records each has written.
    """
    by_id = {key.id: key for key in keys}
    known: dict[tuple[str, str], dict[str, str]] = {}
    for line in lines:
        record = record_in(line)
        if record is None or "tenant" not in record:
            continue
        if record["key"] not in by_id:
            skipped[record["key"]] = skipped.get(record["key"], 0) + 1
            continue
        named = str(record["tenant"])
        if tenant is not None and named != tenant:
            continue
        place = (record["key"], named)
        if place not in known:
            known[place] = {kind: by_id[record["key"]].digest(kind, named, value) for kind, value in wanted.items()}
        if known[place].items() <= record.items():
            yield record


def record_in(line: str) -> dict[str, Any] | None:
    """The record in a line, which may stand behind what a log collector has put before it; None for any other line."""
    start = line.find(START)
    if start < 0:
        return None
    try:
        record = json.loads(line[start:])
        texts = (record["chain"], record["time"], record["decision"], record["key"], record["prev"], record["hash"])
        is_record = record["audit"] == FORMAT and type(record["n"]) is int and all(isinstance(t, str) for t in texts)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if is_record and type(record.get("lost", 0)) is int else None

"""`receiver audit`: files of audit records read, checked and searched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from receiver.core import audit
from receiver.diagnosis.terminal import dump, plain
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from receiver.core.audit import AuditKey, ChainReport, Kind, Reading


def verify(files: Sequence[str], keys: Sequence[AuditKey]) -> Reading:
    """What these files show.

    Args:
        files: Their names, `-` for standard input, in the order they were written.
        keys: Those at hand.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    return audit.read(_lines(files), keys)


def find(
    files: Sequence[str], keys: Sequence[AuditKey], wanted: Mapping[Kind, str], tenant: str | None,
    *, warn: Callable[[str], None],
) -> Iterator[str]:  # fmt: skip
    """The records about a user or a session, one line of JSON each.

    Args:
        files: As `verify`.
        keys: Those at hand; records written with another cannot be searched.
        wanted: As `core.audit.find`.
        tenant: Its name; None looks at every tenant.
        warn: Told which keys are missing.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    skipped: dict[str, int] = {}
    for record in audit.find(_lines(files), keys, wanted, tenant, skipped=skipped):
        yield dump(record)
    for key_id, count in sorted(skipped.items()):
        warn(f"{count} records were not searched: no key {plain(key_id)} at hand")


def to_text(reading: Reading) -> str:
    """One line for each chain, and what else is to be said."""
    lines = [_line(chain) for chain in reading.chains.values()] or ["no records"]
    if reading.torn:
        lines.append(f"{reading.torn} lines begin as a record and are none: torn when a process was killed, or damaged")
    lines += [f"no key {plain(key_id)} at hand" for key_id in sorted(reading.unknown_keys)]
    return "\n".join(lines)


def to_json(reading: Reading) -> str:
    """The same for programs."""
    chains = [
        {
            "chain": chain.name, "records": chain.records, "first": chain.first, "since": chain.since,
            "until": chain.until, "ended": chain.ended, "omitted": chain.omitted, "verdict": chain.verdict or "ok",
        }
        for chain in reading.chains.values()
    ]  # fmt: skip
    shown = {"good": reading.is_good, "chains": chains, "torn": reading.torn, "no_key": sorted(reading.unknown_keys)}
    return dump(shown, indent=2)


def _line(chain: ChainReport) -> str:
    notes = [f"{chain.records} records", f"{chain.since} to {chain.until}"]
    if chain.first:
        notes.append(f"begins with record {chain.first}: earlier files were not given")
    if chain.omitted:
        notes.append(f"{chain.omitted} records lost, as the process says itself")
    if not chain.ended:
        notes.append("no end: the process runs, or was killed")
    return plain(f"{chain.verdict or 'ok'}: chain {chain.name}: {'; '.join(notes)}")


def _lines(files: Sequence[str]) -> Iterator[str]:
    for name in files:
        if name == "-":
            yield from sys.stdin
            continue
        try:
            with Path(name).open(encoding="utf-8", errors="replace") as file:
                yield from file
        except OSError as error:
            raise ConfigurationError(f"cannot read {name}: {error.strerror}") from error

"""`receiver audit`: check records, and find those about a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.cli.base import CHECK_FAILED, GOOD, add_command, add_group, complain, load_settings, show
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from receiver.core.audit import AuditKey, Kind


def add(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the commands."""
    audit = add_group(commands, "audit", "check the audit log, search it")
    verify = add_command(
        audit, "verify", "are the records complete and unchanged; exit 0 or 1", _verify, configured,
        description="Checks every chain of records in these files: none changed, none missing, the last one signed.",
    )  # fmt: skip
    verify.add_argument("--json", action="store_true", help="print JSON")
    text = "print the records about a user or a session; exit 1 if there are none"
    find = add_command(audit, "find", text, _find, configured)
    find.add_argument("--sub", metavar="SUB", help="the user, as the OP calls them")
    find.add_argument("--sid", metavar="SID", help="the session")
    find.add_argument("--tenant", metavar="NAME", help="of this tenant only")
    for command in (verify, find):
        command.add_argument("files", nargs="+", metavar="FILE", help="in the order they were written; - is stdin")


def _verify(options: argparse.Namespace) -> int:
    from receiver.diagnosis import audit

    reading = audit.verify(options.files, _keys(options))
    show(audit.to_json(reading) if options.json else audit.to_text(reading))
    return GOOD if reading.is_good else CHECK_FAILED


def _find(options: argparse.Namespace) -> int:
    from receiver.diagnosis import audit

    named: dict[Kind, str | None] = {"sub": options.sub, "sid": options.sid}
    wanted = {kind: value for kind, value in named.items() if value}
    if not wanted:
        raise ConfigurationError("audit find: give --sub, --sid or both")
    found = 0
    for line in audit.find(options.files, _keys(options), wanted, options.tenant, warn=complain):
        show(line)
        found += 1
    if not found:
        complain("no record of this user or session in these files")
    return GOOD if found else CHECK_FAILED


def _keys(options: argparse.Namespace) -> tuple[AuditKey, ...]:
    keys = load_settings(options).audit.keys
    if not keys:
        raise ConfigurationError("no keys: set audit.key_file to the file the records were written with")
    return keys

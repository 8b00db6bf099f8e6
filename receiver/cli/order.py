"""`receiver order` and `receiver names`: end sessions by hand, through the API of a running receiver."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receiver.cli.base import CHECK_FAILED, GOOD, add_command, add_group, complain, load_settings, own_internal, show
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from receiver.diagnosis.orders import ApiClient, Ordered, Target


def add(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the commands."""
    called = argparse.ArgumentParser(add_help=False, parents=[configured])
    called.add_argument("--url", help="the internal listener of a receiver; default: this configuration's own")
    called.add_argument(
        "--token-file", type=Path, metavar="FILE", help="its API token; default: one of this configuration's own"
    )
    called.add_argument("--tenant", required=True, metavar="NAME", help="the user's tenant")
    order = add_command(
        commands, "order", "end the sessions of a user, or of many", _order, called,
        description="Orders evictions through the API of a running receiver, which audits them. Exit 0 only if all "
        "were taken and, with --wait, every app has answered.",
    )  # fmt: skip
    target = order.add_mutually_exclusive_group(required=True)
    target.add_argument("--sub", help="the user, as the OP calls them: every session")
    target.add_argument("--sid", help="one session")
    target.add_argument("--account", dest="home_account_id", help="MSAL's home account id: every session")
    target.add_argument("--username", help="a user name that apps have registered")
    target.add_argument("--email", help="a verified mail address that apps have registered")
    target.add_argument("--file", metavar="FILE", help="many, one a line: `sub 2482`, `username alice`, …; - is stdin")
    order.add_argument("--reason", required=True, help="why; stands in the event and in the audit log")
    order.add_argument("--wait", type=_seconds, metavar="SECONDS", help="wait until every app has dropped them")
    order.add_argument("--json", action="store_true", help="print JSON, one object for each order")
    names = add_group(commands, "names", "erase a name that apps have registered")
    erase = add_command(names, "erase", "forget a name; exit 1 if it is not known", _erase, called)
    which = erase.add_mutually_exclusive_group(required=True)
    which.add_argument("--email")
    which.add_argument("--username")


def _order(options: argparse.Namespace) -> int:
    from receiver.diagnosis import orders

    client, targets = _client(options), _targets(options)
    done: list[Ordered] = []
    events: list[str] = []
    for one in orders.order(client, targets, tenant=options.tenant, reason=options.reason):
        done.append(one)
        events += one.events
        _tell(one, len(targets), as_json=options.json)
    refused = sum(bool(one.problem) for one in done)
    complain(f"{len(done) - refused} of {len(targets)} orders taken, {len(events)} evictions")
    if options.wait is not None and not _wait(client, events, options.wait):
        return CHECK_FAILED
    return CHECK_FAILED if refused else GOOD


def _tell(one: Ordered, count: int, *, as_json: bool) -> None:
    if as_json:
        shown = {"number": one.number, one.target.way: one.target.value, "events": one.events, "problem": one.problem}
        show(json.dumps(shown))
    else:
        show(f"{one.number}/{count}  {one.problem or ', '.join(one.events)}")


def _wait(client: ApiClient, events: list[str], wait_s: float) -> bool:
    """Whether every app has answered within that time."""
    from receiver.diagnosis import orders

    until = time.monotonic() + wait_s
    waiting = orders.waiting_for(client, events)
    while waiting and time.monotonic() < until:
        complain(f"{len(events) - len(waiting)} of {len(events)} evictions done")
        client.sleep(orders.PAUSE_S)
        waiting = orders.waiting_for(client, waiting)
    for event, apps in waiting.items():
        complain(f"{event}: no answer from {', '.join(apps) or 'any app'}")
    if not waiting:
        complain(f"{len(events)} of {len(events)} evictions done")
    return not waiting


def _targets(options: argparse.Namespace) -> list[Target]:
    from receiver.diagnosis import orders

    if options.file is None:
        return [orders.Target(way, value) for way in orders.WAYS if (value := getattr(options, way)) is not None]
    if options.file == "-":
        return orders.targets_in(sys.stdin)
    try:
        with Path(options.file).open(encoding="utf-8") as file:
            return orders.targets_in(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {options.file}: {type(error).__name__}") from error


def _erase(options: argparse.Namespace) -> int:
    from receiver.diagnosis import orders

    value = options.email if options.email is not None else options.username
    way: Any = "email" if options.email is not None else "username"
    if orders.erase(_client(options), options.tenant, way, value):
        return GOOD
    complain("no app has registered this name")
    return CHECK_FAILED


def _client(options: argparse.Namespace) -> ApiClient:
    from receiver.diagnosis.orders import ApiClient
    from receiver.ops.sections import read_secret

    settings = load_settings(options)
    if options.token_file is not None:
        # A line of `internal.token_file`, or the token alone.
        token = read_secret(options.token_file).splitlines()[0].split()[-1]
    else:
        tokens = [token.value for token in settings.internal.tokens if "orders" in token.scopes]
        if not tokens:
            raise ConfigurationError("no token with the scope orders: give --token-file, or set internal.token_file")
        token = tokens[0]
    return ApiClient(options.url or own_internal(settings), token)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError("not a number of seconds")

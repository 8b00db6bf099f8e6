"""`receiver ssf`: our stream of security events at a transmitter; what it does is in `diagnosis.streams`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from receiver.cli.base import CHECK_FAILED, GOOD, add_command, add_group, complain, load_settings, show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine

    from receiver.ops.settings import Settings

WAIT_S = 90.0
"""Seconds `ssf verify` waits. Keycloak sends every 30."""


def add(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the commands.

    Args:
        commands: Where to.
        configured: The options every command has that reads settings.
    """
    what = add_group(commands, "ssf", "manage our stream of security events at a transmitter")

    def one(name: str, text: str, run: Callable[[Any, argparse.Namespace], int]) -> argparse.ArgumentParser:
        parser = add_command(what, name, text, lambda options: run(load_settings(options), options), configured)
        parser.add_argument("tenant", metavar="TENANT", help="a tenant with a section ssf")
        return parser

    create = one("create", "make the stream, or bring it up to date", _create)
    create.add_argument(
        "--push-url", metavar="URL", help="where events are pushed; default: public.url and /ssf/TENANT"
    )
    status = one("status", "what the transmitter says of it, and what was heard here", _status)
    status.add_argument("--change-to", choices=("enabled", "paused", "disabled"), help="set its status first")
    verify = one("verify", "have an event sent, and wait for it; exit 0 or 1", _verify)
    verify.add_argument("--wait", type=float, default=WAIT_S, metavar="SECONDS", help=f"default {WAIT_S:g}")
    subjects = one("subjects", "ask for events about one user, or for no more", _subjects)
    subjects.add_argument("act", choices=("add", "remove"))
    named = subjects.add_mutually_exclusive_group(required=True)
    named.add_argument("--sub", help="the user's sub at the tenant's issuer")
    named.add_argument("--email", help="the user's address")
    one("delete", "end the stream; events that wait there are lost", _delete)


def _create(settings: Settings, options: argparse.Namespace) -> int:
    from receiver.diagnosis import streams

    return _print(streams.create(settings, options.tenant, options.push_url), needs_no_hints=True)


def _status(settings: Settings, options: argparse.Namespace) -> int:
    from receiver.diagnosis import streams

    return _print(streams.status(settings, options.tenant, options.change_to))


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    from receiver.diagnosis import streams

    return _print(streams.verify(settings, options.tenant, options.wait), good="verified")


def _subjects(settings: Settings, options: argparse.Namespace) -> int:
    from receiver.diagnosis import streams

    named = {"iss_sub": ("sub", options.sub), "email": ("email", options.email)}
    [(form, (member, value))] = [(form, pair) for form, pair in named.items() if pair[1] is not None]
    subject = {"format": form, member: value}
    return _print(streams.subjects(settings, options.tenant, subject, add=options.act == "add"))


def _delete(settings: Settings, options: argparse.Namespace) -> int:
    from receiver.diagnosis import streams

    return _print(streams.delete(settings, options.tenant))


def _print(
    work: Coroutine[Any, Any, dict[str, Any]], *, good: str | None = None, needs_no_hints: bool = False
) -> int:  # fmt: skip
    """Print the report as JSON; exit 1 where `good` is not true in it.

    Where the stream needs no hints, exit 1 for those there are as well, each in a line on stderr.
    """
    from receiver.diagnosis.terminal import dump

    report = asyncio.run(work)
    show(dump(report, indent=2))
    hints = report["hints"] if needs_no_hints else []
    for hint in hints:
        complain(hint)
    return CHECK_FAILED if hints or (good is not None and not report[good]) else GOOD

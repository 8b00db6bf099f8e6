"""Commands that look: at one token, at OPs and Redis, at evictions, at apps and at caches."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receiver.cli.base import CHECK_FAILED, GOOD, add_command, add_group, complain, load_settings, show

if TYPE_CHECKING:
    import argparse


def add(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the commands."""
    explain = add_command(
        commands, "explain", "judge one token, rule by rule", _explain, configured,
        description="Judges one token rule by rule, as `receiver serve` would. Nothing is published.",
    )  # fmt: skip
    explain.add_argument("token", nargs="?", default="-", help="the token; - or none reads it from stdin")
    explain.add_argument("--jwks", type=Path, metavar="FILE", help="verify with this JWK Set, without any network")
    explain.add_argument("--now", type=float, metavar="SECONDS", help="judge by this time (NumericDate)")
    explain.add_argument("--tenant", metavar="NAME", help="the tenant the request's path names")
    explain.add_argument(
        "--kind", choices=("logout", "set", "command", "revocation"),
        help="which endpoint judges it: of logout tokens, security events, commands, or Global Token Revocation; "
        "default: by the token's typ",
    )  # fmt: skip
    doctor = add_command(commands, "doctor", "check OPs and Redis, live; exit 0 or 1", _doctor, configured)
    tail = add_command(commands, "tail", "print evictions as they are published", _tail, configured)
    trace = add_command(
        commands, "trace", "who has dropped this user, and who has not answered", _trace, configured,
        description="Exit 0 only if every app that should answer has dropped the user of this eviction.",
    )  # fmt: skip
    trace.add_argument("event", metavar="ID-OR-JTI", help="the event's id, or the logout token's jti")
    apps = add_group(commands, "apps", "which apps listen; forget one that is gone")
    apps_list = add_command(apps, "list", "every app that was heard of, and when last", _apps_list, configured)
    forget = add_command(apps, "forget", "trace no longer waits for this app; exit 0 or 1", _apps_forget, configured)
    forget.add_argument("name", metavar="NAME", help="the app's name, as apps list prints it")
    text = "how far the evictor is, and what it knows of each cache"
    caches = add_command(commands, "caches", text, _caches, configured)
    for command in (explain, doctor, tail, trace, apps_list, caches):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (explain, tail):
        command.add_argument("--show-subject", action="store_true", help="print sub and sid too")


def _explain(options: argparse.Namespace) -> int:
    from receiver.diagnosis import explain

    token = explain.read_token(options.token)
    now_s = explain.time_to_judge_by(options.now)
    explanation = asyncio.run(
        explain.explain(
            token, load_settings(options), now_s=now_s, jwks=options.jwks, tenant_name=options.tenant,
            show_subject=options.show_subject, kind=options.kind,
        )
    )  # fmt: skip
    show(explain.to_json(explanation) if options.json else explain.to_text(explanation, colours=_colours()))
    return CHECK_FAILED if explanation.judgement.error else GOOD


def _doctor(options: argparse.Namespace) -> int:
    from receiver.diagnosis import doctor

    checks = asyncio.run(doctor.examine(load_settings(options)))
    show(doctor.to_json(checks) if options.json else doctor.to_text(checks, colours=_colours()))
    return GOOD if doctor.passed(checks) else CHECK_FAILED


def _tail(options: argparse.Namespace) -> int:
    from receiver.diagnosis import tail

    def begin() -> None:
        if not options.json:
            show(tail.HEADER)

    def write(line: tail.Line) -> None:
        show((tail.to_json if options.json else tail.to_text)(line, show_subject=options.show_subject))

    asyncio.run(tail.tail(load_settings(options), begin=begin, write=write, warn=complain))
    return GOOD


def _trace(options: argparse.Namespace) -> int:
    from receiver.diagnosis import trace

    found = asyncio.run(trace.trace(load_settings(options), options.event))
    if found is None:
        complain("no such eviction: never published, or no longer in the stream")
        return CHECK_FAILED
    show(trace.to_json(found) if options.json else trace.to_text(found, colours=_colours()))
    return GOOD if all(one.complete for one in (found, *found.others)) else CHECK_FAILED


def _caches(options: argparse.Namespace) -> int:
    from receiver.diagnosis import caches

    seen = asyncio.run(caches.look(load_settings(options)))
    show(caches.to_json(seen) if options.json else caches.to_text(seen))
    return GOOD


def _apps_list(options: argparse.Namespace) -> int:
    from receiver.diagnosis import apps

    known = asyncio.run(apps.listening(load_settings(options)))
    show(apps.to_json(known) if options.json else apps.to_text(known))
    return GOOD


def _apps_forget(options: argparse.Namespace) -> int:
    from receiver.diagnosis import apps

    problem = asyncio.run(apps.forget(load_settings(options), options.name))
    if problem:
        complain(problem)
    return CHECK_FAILED if problem else GOOD


def _colours() -> bool:
    return sys.stdout.isatty()

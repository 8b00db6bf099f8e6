"""The `receiver` command. Exit codes: 0 good, 1 a check failed, 2 usage or configuration, 3 a state was lost."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from receiver import __version__
from receiver.cli import audit, order, ssf
from receiver.cli.base import CHECK_FAILED, GOOD, STATE_LOST, USAGE, complain, load_settings, own_internal, show
from receiver.errors import ConfigurationError, RedisUnavailableError, StateLostError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from receiver.ingress.inputs.resources import Command
    from receiver.ops.settings import Settings
    from receiver.ops.settings_source import SettingsSource

Answer = TypeVar("Answer")

HEALTHCHECK_TIMEOUT_S = 2.0
"""Seconds `receiver healthcheck` waits for an answer."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    if os.getpid() == 1:
        # In a container: the kernel keeps from process 1 what it does not handle, and imports take a second. A command
        # that goes on running handles it in its own way from then on.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(GOOD))
    try:
        return int(options.run(options))
    except ConfigurationError as error:
        complain(error.message)
        return USAGE
    except StateLostError as error:
        complain(error.message)
        return STATE_LOST
    except ModuleNotFoundError as error:
        # The consumer library is installed without the server's dependencies on purpose.
        complain(f"{error.name} is missing; install `logout-receiver[server]`")
        return USAGE
    except KeyboardInterrupt:
        return GOOD
    except BrokenPipeError:
        # What reads us, `head` for instance, has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="receiver", description="OIDC back-channel logout to durable evictions.")
    parser.add_argument("--version", action="version", version=f"logout-receiver {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", type=Path, metavar="FILE", help="YAML settings (or RECEIVER_CONFIG)")
    configured.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="one setting, for instance public.port=8081"
    )

    serve = commands.add_parser("serve", parents=[configured], help="take in logout tokens")
    serve.set_defaults(run=_serve)
    canary = commands.add_parser("canary", parents=[configured], help="send a logout again and again, and hear of it")
    canary.set_defaults(run=_canary)
    watch = commands.add_parser("watch-graph", parents=[configured], help="watch Microsoft Graph; run any number")
    watch.set_defaults(run=_watch_graph)
    evict = commands.add_parser("evict", parents=[configured], help="clear the shared caches; run any number")
    evict.set_defaults(run=_evict)
    config = commands.add_parser("config", help="look at the settings").add_subparsers(required=True, metavar="what")
    for name, run, text in (
        ("check", _config_check, "validate; exit 0 or 2"),
        ("show", _config_show, "print the settings in force, secrets hidden"),
    ):
        config.add_parser(name, parents=[configured], help=text).set_defaults(run=run)
    config.add_parser("schema", help="print the JSON Schema of the file").set_defaults(run=_config_schema)
    _add_diagnosis(commands, configured)
    order.add(commands, configured)
    audit.add(commands, configured)
    ssf.add(commands, configured)
    health = commands.add_parser("healthcheck", parents=[configured], help="exit 0 if the receiver here is ready")
    health.add_argument("--url", help="readiness address; default: this configuration's own")
    health.set_defaults(run=_healthcheck)
    return parser


def _add_diagnosis(commands: Any, configured: argparse.ArgumentParser) -> None:
    explain = commands.add_parser(
        "explain", parents=[configured], help="judge one token, rule by rule",
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
    explain.set_defaults(run=_explain)
    doctor = commands.add_parser("doctor", parents=[configured], help="check OPs and Redis, live; exit 0 or 1")
    doctor.set_defaults(run=_doctor)
    tail = commands.add_parser("tail", parents=[configured], help="print evictions as they are published")
    tail.set_defaults(run=_tail)
    trace = commands.add_parser(
        "trace", parents=[configured], help="who has dropped this user, and who has not answered",
        description="Exit 0 only if every app that should answer has dropped the user of this eviction.",
    )  # fmt: skip
    trace.add_argument("event", metavar="ID-OR-JTI", help="the event's id, or the logout token's jti")
    trace.set_defaults(run=_trace)
    apps = commands.add_parser("apps", help="which apps listen; forget one that is gone").add_subparsers(
        required=True, metavar="what"
    )
    apps_list = apps.add_parser("list", parents=[configured], help="every app that was heard of, and when last")
    apps_list.set_defaults(run=_apps_list)
    forget = apps.add_parser("forget", parents=[configured], help="trace no longer waits for this app; exit 0 or 1")
    forget.add_argument("name", metavar="NAME", help="the app's name, as apps list prints it")
    forget.set_defaults(run=_apps_forget)
    caches = commands.add_parser(
        "caches", parents=[configured], help="how far the evictor is, and what it knows of each cache"
    )
    caches.set_defaults(run=_caches)
    for command in (explain, doctor, tail, trace, apps_list, caches):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (explain, tail):
        command.add_argument("--show-subject", action="store_true", help="print sub and sid too")


def _source(options: argparse.Namespace) -> SettingsSource:
    from receiver.ops.settings_source import SettingsSource

    return SettingsSource(options.config, tuple(options.set or ()))


def _serve(options: argparse.Namespace) -> int:
    return _run(load_settings(options), options, "serve")


def _watch_graph(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    if not any(tenant.graph for tenant in settings.all_tenants):
        raise ConfigurationError("no tenant has a section graph; see docs/entra.md")
    return _run(settings, options, "watch-graph")


def _run(settings: Settings, options: argparse.Namespace, command: Command) -> int:
    from receiver.ingress.server import serve
    from receiver.ops import logs, tracing
    from receiver.runtime import event_loop

    logs.setup(settings.log.level)
    with tracing.exported(enabled=settings.tracing.enabled, service="logout-receiver"):
        event_loop.run(serve(settings, _source(options), command))
    return GOOD


def _canary(options: argparse.Namespace) -> int:
    from receiver.canary import canary
    from receiver.ops import logs
    from receiver.runtime import event_loop

    settings = load_settings(options)
    logs.setup(settings.log.level)
    event_loop.run(canary(settings))
    return GOOD


def _evict(options: argparse.Namespace) -> int:
    from receiver.evictor.worker import evict
    from receiver.ops import logs, tracing
    from receiver.runtime import event_loop

    settings = load_settings(options)
    logs.setup(settings.log.level)
    with tracing.exported(enabled=settings.tracing.enabled, service="logout-evictor"):
        event_loop.run(evict(settings, _source(options)))
    return GOOD


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

    try:
        found = asyncio.run(trace.trace(load_settings(options), options.event))
    except RedisUnavailableError as error:
        complain(error.message)
        return CHECK_FAILED
    if found is None:
        complain("no such eviction: never published, or no longer in the stream")
        return CHECK_FAILED
    show(trace.to_json(found) if options.json else trace.to_text(found, colours=_colours()))
    return GOOD if all(one.complete for one in (found, *found.others)) else CHECK_FAILED


def _caches(options: argparse.Namespace) -> int:
    from receiver.diagnosis import caches

    seen = _asked(caches.look(load_settings(options)))
    if seen is None:
        return CHECK_FAILED
    show(caches.to_json(seen) if options.json else caches.to_text(seen))
    return GOOD


def _apps_list(options: argparse.Namespace) -> int:
    from receiver.diagnosis import apps

    known = _asked(apps.listening(load_settings(options)))
    if known is None:
        return CHECK_FAILED
    show(apps.to_json(known) if options.json else apps.to_text(known))
    return GOOD


def _apps_forget(options: argparse.Namespace) -> int:
    from receiver.diagnosis import apps

    problem = _asked(apps.forget(load_settings(options), options.name))
    if problem:
        complain(problem)
    return GOOD if problem == "" else CHECK_FAILED


def _asked(question: Coroutine[Any, Any, Answer]) -> Answer | None:
    """What Redis says; None, and a line on stderr, when it does not answer."""
    try:
        return asyncio.run(question)
    except RedisUnavailableError as error:
        complain(error.message)
        return None


def _colours() -> bool:
    return sys.stdout.isatty()


def _config_check(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    if not settings.all_tenants:
        raise ConfigurationError("no tenants: set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS, or tenants: in the file")
    print(f"ok: {len(settings.all_tenants)} tenant(s), Redis at {_redacted(settings)['redis']['url']}")
    return GOOD


def _config_show(options: argparse.Namespace) -> int:
    import yaml

    print(yaml.safe_dump(_redacted(load_settings(options)), sort_keys=False), end="")
    return GOOD


def _config_schema(_: argparse.Namespace) -> int:
    from receiver.ops.settings import Settings

    print(json.dumps(Settings.model_json_schema(), indent=2))
    return GOOD


def _redacted(settings: Settings) -> dict[str, dict[str, object]]:
    from receiver.ops.settings import redacted

    return redacted(settings)


def _healthcheck(options: argparse.Namespace) -> int:
    url = options.url or own_internal(load_settings(options)) + "/readyz"
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("--url: expected an http address")
    try:
        with urllib.request.urlopen(url, timeout=HEALTHCHECK_TIMEOUT_S):  # noqa: S310  # scheme checked above
            return GOOD
    except (urllib.error.URLError, OSError) as error:
        complain(f"not ready: {error}")
        return CHECK_FAILED

"""The `receiver` command. Exit codes: 0 good, 1 a check failed, 2 usage or configuration, 3 a state was lost."""

from __future__ import annotations

import argparse
import functools
import http.client
import json
import os
import signal
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receiver import __version__
from receiver.cli import audit, diagnosis, order, ssf
from receiver.cli.base import (
    CHECK_FAILED,
    GOOD,
    STATE_LOST,
    USAGE,
    add_command,
    add_group,
    complain,
    load_settings,
    own_internal,
)
from receiver.errors import ConfigurationError, ReceiverError, StateLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from receiver.ingress.inputs.resources import Command
    from receiver.ops.settings import Settings
    from receiver.ops.settings_source import SettingsSource

HEALTHCHECK_TIMEOUT_S = 2.0
"""Seconds `receiver healthcheck` waits for an answer."""

EXIT_CODES: dict[type[ReceiverError], int] = {ConfigurationError: USAGE, StateLostError: STATE_LOST}
"""By the error that ends a command; any other is something that was asked and does not answer."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    if os.getpid() == 1:
        # In a container: the kernel keeps from process 1 what it does not handle, and imports take a second. A command
        # that goes on running handles it in its own way from then on.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(GOOD))
    try:
        return int(options.run(options))
    except ReceiverError as error:
        complain(error.message)
        return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), CHECK_FAILED)
    except ModuleNotFoundError as error:
        # The consumer library is installed without the server's dependencies on purpose.
        complain(f"{error.name} is missing: pip install '.[server]' in a checkout")
        return USAGE
    except KeyboardInterrupt:
        return GOOD
    except BrokenPipeError:
        # What reads us, `head` for instance, has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="receiver", description="Turns OIDC logouts into durable evictions.")
    parser.add_argument("--version", action="version", version=f"logout-receiver {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", type=Path, metavar="FILE", help="YAML settings (or RECEIVER_CONFIG)")
    configured.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="one setting, for instance public.port=8081"
    )

    add_command(commands, "serve", "take in logout tokens", _serve, configured)
    add_command(commands, "canary", "test the whole route by a logout each minute", _canary, configured)
    add_command(commands, "watch-graph", "watch Microsoft Graph; run any number", _watch_graph, configured)
    add_command(commands, "evict", "clear the shared caches; run any number", _evict, configured)
    config = add_group(commands, "config", "check, print the settings")
    add_command(config, "check", "validate; exit 0 or 2", _config_check, configured)
    add_command(config, "show", "print the settings in force, secrets hidden", _config_show, configured)
    add_command(config, "schema", "print the JSON Schema of the file", _config_schema)
    diagnosis.add(commands, configured)
    order.add(commands, configured)
    audit.add(commands, configured)
    ssf.add(commands, configured)
    health = add_command(commands, "healthcheck", "exit 0 if the receiver here is ready", _healthcheck, configured)
    health.add_argument("--url", help="readiness address; default: this configuration's own")
    return parser


def _settings_of(options: argparse.Namespace) -> tuple[Settings, SettingsSource]:
    """What a command that goes on running works by, and where that can be read again."""
    from receiver.ops.settings_source import SettingsSource

    # It asks that they are read again, and waits until there is what does so (`runtime.process`).
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    source = SettingsSource(options.config, tuple(options.set or ()))
    return source.read(), source


def _serve(options: argparse.Namespace) -> int:
    return _take_in(*_settings_of(options), "serve")


def _watch_graph(options: argparse.Namespace) -> int:
    settings, source = _settings_of(options)
    if not any(tenant.graph for tenant in settings.all_tenants):
        raise ConfigurationError("no tenant has a section graph; see docs/entra.md")
    return _take_in(settings, source, "watch-graph")


def _take_in(settings: Settings, source: SettingsSource, command: Command) -> int:
    from receiver.ingress.server import serve

    return _run(functools.partial(serve, settings, source, command), settings, traced_as="logout-receiver")


def _canary(options: argparse.Namespace) -> int:
    from receiver.canary import canary

    settings, _ = _settings_of(options)
    return _run(functools.partial(canary, settings), settings, traced_as=None)


def _evict(options: argparse.Namespace) -> int:
    from receiver.evictor.worker import evict

    settings, source = _settings_of(options)
    return _run(functools.partial(evict, settings, source), settings, traced_as="logout-evictor")


def _run(process: Callable[[], Coroutine[Any, Any, None]], settings: Settings, *, traced_as: str | None) -> int:
    """Run a process until it is told to stop.

    Args:
        process: It.
        settings: Its.
        traced_as: The service's name in its spans; None sends none.
    """
    from receiver.ops import logs, tracing
    from receiver.runtime import event_loop

    logs.setup(settings.log.level)
    with tracing.exported(enabled=settings.tracing.enabled and traced_as is not None, service=traced_as or ""):
        event_loop.run(process())
    return GOOD


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
    from receiver.ops.redaction import redacted

    return redacted(settings)


def _healthcheck(options: argparse.Namespace) -> int:
    url = options.url or own_internal(load_settings(options)) + "/readyz"
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("--url: expected an http address")
    try:
        with urllib.request.urlopen(url, timeout=HEALTHCHECK_TIMEOUT_S):  # noqa: S310  # scheme checked above
            return GOOD
    except (ValueError, http.client.InvalidURL) as error:
        raise ConfigurationError(f"--url: expected an http address: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        complain(f"not ready: {error}")
        return CHECK_FAILED

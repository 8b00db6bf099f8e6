"""What all commands share: exit codes, the settings, and printing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from receiver.ops.settings import Settings

GOOD, CHECK_FAILED, USAGE, STATE_LOST = 0, 1, 2, 3
"""Exit codes."""


def add_command(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], int], *parents: argparse.ArgumentParser,
    description: str | None = None,
) -> argparse.ArgumentParser:  # fmt: skip
    """Add a command; its own options are for the caller to add.

    Args:
        commands: Where to.
        name: What is typed.
        text: One line in the list of commands.
        run: Runs it, and returns its exit code.
        parents: Options it shares with others.
        description: For its own help, where there is more to say.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, parents=parents, help=text, description=description)
    parser.set_defaults(run=run)
    return parser


def add_group(commands: Any, name: str, text: str) -> Any:
    """Add a word that is followed by another command; where to add these."""
    return commands.add_parser(name, help=text).add_subparsers(required=True, metavar="what")


def load_settings(options: argparse.Namespace) -> Settings:
    """The settings a command was given.

    Raises:
        ConfigurationError: as `settings.load`.
    """
    from receiver.ops import settings

    return settings.load(options.config, options.set)


def show(text: str) -> None:
    """Print in signs the terminal has."""
    from receiver.diagnosis.terminal import fit

    print(fit(text, sys.stdout.encoding), flush=True)


def complain(text: str) -> None:
    """One line on stderr."""
    print(f"receiver: {text}", file=sys.stderr, flush=True)


def own_internal(settings: Settings) -> str:
    """The address of this configuration's own internal listener."""
    # "Every address" is where one listens, not where one asks.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.internal.host, settings.internal.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.internal.port}"

"""What all commands share: exit codes, the settings, and printing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from receiver.ops.settings import Settings

GOOD, CHECK_FAILED, USAGE, STATE_LOST = 0, 1, 2, 3
"""Exit codes."""


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

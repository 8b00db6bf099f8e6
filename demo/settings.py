"""What the demo's processes are told at start: one JSON file each, readable by its owner only.

A file and not arguments, because it holds client secrets and command lines are public on a machine.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    def write(self, path: Path) -> None:
        """Write them where only this user can read them."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def from_command_line(cls) -> Self:
        """Read the file named by `--settings`."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--settings", required=True, type=Path)
        return cls(**json.loads(parser.parse_args().settings.read_text()))


@dataclass(frozen=True, slots=True, kw_only=True)
class OPSettings(_Settings):
    """The OP.

    Attributes:
        issuer: `https://localhost:<port>/<path>`; MSAL wants https and a path.
        https_port: Where RPs and the receiver call.
        http_port: Where browsers go.
        clients: One mapping for each `provider.Client`.
        users: One mapping for each `provider.User`.
    """

    issuer: str
    https_port: int
    http_port: int
    certificate_file: str
    key_file: str
    redis_url: str
    clients: list[dict[str, str]]
    users: list[dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings(_Settings):
    """One web app.

    Attributes:
        name: The app's name and its client_id at the OP.
        subscribe: False leaves out the subscriber, to show what happens without it.
        links: Label to address, for the foot of its page.
    """

    name: str
    port: int
    client_secret: str
    issuer: str
    ca_file: str
    redis_url: str
    subscribe: bool
    links: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings(_Settings):
    """The timeline page.

    Attributes:
        links: Label to address of everything a person may open.
        users: Username to password, shown on the page.
    """

    port: int
    redis_url: str
    links: dict[str, str]
    users: dict[str, str]

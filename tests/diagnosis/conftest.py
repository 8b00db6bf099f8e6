"""What the tests of explain, doctor and tail share: settings for an OP, and the command as users run it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from receiver.cli import main
from receiver.ops.settings import Settings
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.op import OP


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, parsed."""
        return json.loads(self.out)


class Command(Protocol):
    """Run `receiver` with these arguments, in a thread, so that the test's own servers go on answering."""

    async def __call__(self, *arguments: str) -> Ran:
        """Return when the command has ended."""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    async def run(*arguments: str) -> Ran:
        code = await asyncio.to_thread(main, arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def settings_for(op: OP, *, redis_url: str = "redis://127.0.0.1:1/0", **tenant: Any) -> Settings:
    """Settings with tenant t1 at this OP, read from nowhere else."""
    return Settings(tenants=[t1(op, **tenant)], redis={"url": redis_url})


@pytest.fixture
def config(op: OP, tmp_path: Path) -> Path:
    """A configuration file for tenant t1 at the OP, and a Redis nobody runs."""
    return write_config(tmp_path, op)


def write_config(
    folder: Path, op: OP, *, redis_url: str = "redis://127.0.0.1:1/0", sections: Mapping[str, Any] | None = None,
    **tenant: Any,
) -> Path:  # fmt: skip
    """A configuration file for tenant t1, with further sections; JSON is YAML."""
    path = folder / "receiver.yaml"
    path.write_text(json.dumps({"redis": {"url": redis_url}, "tenants": [t1(op, **tenant)], **(sections or {})}))
    return path

"""The Go example, built."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.needed import program

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[3] / "examples" / "go"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the receiver says while its Redis is killed under it is not looked at."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once."""
    go = program("go")
    built = tmp_path_factory.mktemp("go") / "listener"
    done = subprocess.run(
        [go, "build", "-o", str(built), "."], cwd=EXAMPLE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return built

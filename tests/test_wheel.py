"""What apps install: the package's files and no other, and what it needs."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from this checkout as a release is."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [built] = directory.glob("*.whl")
    return zipfile.ZipFile(built)


def test_files(wheel: zipfile.ZipFile) -> None:
    """Every file of `receiver`, scripts and the mark of typed packages included; no demo, no tests, no examples."""
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "receiver").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert here == packed
    assert {"receiver/py.typed", "receiver/bus/lua/publish.lua"} <= packed


def test_needs(wheel: zipfile.ZipFile) -> None:
    """An app needs the Redis client alone; everything else is asked for by name."""
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(wheel.read(name))
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]

    assert ["redis>=5.3.1"] == needed
    assert ["azure", "msal", "otel", "server"] == sorted(metadata.get_all("Provides-Extra", []))

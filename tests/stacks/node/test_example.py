"""The files an app copies: their own tests, and what they share with the receiver."""

from __future__ import annotations

import re
import subprocess

import pytest

from receiver.bus.events.acks import ACKNOWLEDGE
from tests.stacks.node.rig import EXAMPLE, installed

pytestmark = pytest.mark.node


@pytest.mark.parametrize("version", ["7", "2"])
def test_the_example_passes_its_own_tests(version: str) -> None:
    """`npm test`, with what either lock file installs."""
    run = subprocess.run(["node", "--test"], cwd=installed(version), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_the_acknowledgement_script_is_the_receivers() -> None:
    """The example runs the very script the receiver's own consumers run, but for comments."""
    code = [line for line in ACKNOWLEDGE.text.splitlines() if line and not line.lstrip().startswith("--")]
    embedded = re.search(r"ACKNOWLEDGE = `\n(.*?)`;", (EXAMPLE / "eviction-stream.mjs").read_text(), re.DOTALL)
    assert embedded is not None
    assert code == embedded[1].splitlines()


def test_files_are_small() -> None:
    """What an app copies is two files one can read through."""
    for name in ("logout-receiver.mjs", "eviction-stream.mjs"):
        assert len((EXAMPLE / name).read_text().splitlines()) < 300

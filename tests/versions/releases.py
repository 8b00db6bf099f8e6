"""The code of this release and of an earlier one, each to be run in processes of its own."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.children import ROOT, Child
from tests.support.needed import missing

EARLIER = "1677f728c0e790791b929cb0f649f26f7a44c5fc"
"""Commit of the earlier release; its processes and this release's share one Redis while an update is under way."""

CONSUMER = Path(__file__).with_name("consumer.py")


@dataclass(frozen=True, slots=True)
class Release:
    """Code that can be run.

    Attributes:
        name: `earlier` or `present`.
        root: Directory with the package `receiver`, and with `versions_consumer.py`.
    """

    name: str
    root: Path

    def serve(self, config: Path, log: Path) -> Child:
        """A receiver."""
        return Child(f"{self.name} receiver", ("receiver", "serve", "--config", str(config)), log, root=self.root)

    def evict(self, config: Path, log: Path) -> Child:
        """An evictor."""
        return Child(f"{self.name} evictor", ("receiver", "evict", "--config", str(config)), log, root=self.root)

    def consume(self, kind: str, app: str, url: str, notes: Path) -> Child:
        """A consumer of `consumer.py`; its notes are in the file given."""
        arguments = ("versions_consumer", kind, app, url, str(notes))
        return Child(f"{self.name} {kind}", arguments, notes.with_suffix(f".{self.name}.log"), root=self.root)


def releases(directory: Path) -> tuple[Release, Release]:
    """The earlier release and the present one, laid out in this directory.

    The earlier one comes from the repository's history; without that the test is skipped, or fails where CI is set.
    """
    found = subprocess.run(
        ["git", "archive", "--format=tar", EARLIER, "receiver"], cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    if found.returncode:
        missing(f"commit {EARLIER} is not in this repository's history: {found.stderr.decode()[:200]}")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(directory / "earlier", filter="data")
    (directory / "present").mkdir()
    (directory / "present" / "receiver").symlink_to(ROOT / "receiver", target_is_directory=True)
    for name in ("earlier", "present"):
        shutil.copy(CONSUMER, directory / name / "versions_consumer.py")
    return Release("earlier", directory / "earlier"), Release("present", directory / "present")

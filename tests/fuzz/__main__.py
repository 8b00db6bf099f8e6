"""Coverage-guided fuzzing of one target, with libFuzzer by way of atheris.

    pip install atheris && python -m tests.fuzz value-flask-session --seconds 600

What an input fails with is printed, and the input is kept beside the corpus. At the end the inputs that reach
a line of their own are written to `corpus`, which the suite plays (`test_targets.py`).
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_KEPT_BYTES = 2048
"""Bytes of an input that is kept."""


def fuzz(name: str, arguments: list[str]) -> None:
    """Hand over to libFuzzer, which ends this process."""
    import atheris

    with atheris.instrument_imports(include=["receiver"]):
        from tests.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].play)
    atheris.Fuzz()


def run(name: str, seconds: int) -> int:
    """Fuzz in a child process, then keep what was found."""
    from tests.fuzz.reached import fewest
    from tests.fuzz.targets import CORPUS, TARGETS, corpus

    target = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        for number, data in enumerate([*target.seeds, *corpus(name)]):
            Path(directory, f"seed-{number:04}").write_bytes(data)
        limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1", "-verbosity=0"]
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz", name, "--child"),
                *(f"-max_total_time={seconds}", f"-artifact_prefix={CORPUS}/failed-{name}-", *limits, directory),
            ],
            check=False,
        )
        small = [path.read_bytes() for path in Path(directory).iterdir() if path.stat().st_size <= MAX_KEPT_BYTES]
    kept = fewest(target.play, small)
    (CORPUS / name).write_text("".join(base64.b64encode(data).decode() + "\n" for data in kept))
    sys.stderr.write(f"{name}: {len(kept)} inputs are kept\n")
    return ended.returncode


if __name__ == "__main__":
    if "--child" in sys.argv:
        fuzz(sys.argv[1], [argument for argument in sys.argv[2:] if argument != "--child"])
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    sys.exit(run(options.target, options.seconds))

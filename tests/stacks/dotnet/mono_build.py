"""Compile the files that both .NET examples share with Mono, so that their rules can be run without a .NET SDK."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import needed

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
RECORDINGS = HERE / "recordings"

SHARED = ["SignedOut", "Eviction", "Mark", "Json", "CachedTokens", "GuardedTokenCache"]
LISTENING = ["EvictionStream", "Acknowledgements", "LogoutReceiverOptions"]

COMPILE_TIMEOUT_S = 120
"""Seconds one compilation may take on a busy machine; it usually takes three."""


def build(directory: Path, program: str) -> Path:
    """`program` of this directory's `mono`, with the examples' files and the imitations, as an executable.

    Skips the test where Mono (Debian: mono-devel, mono-mcs) is not installed; where CI is set, fails it.
    """
    needed.program("mono")
    compiler = needed.program("mcs")
    sources = [HERE / "mono" / f"{name}.cs" for name in ("Imitations", "RedisClient", program)]
    for name in (*SHARED, *LISTENING):
        source = EXAMPLES / "aspnetcore" / "LogoutReceiver" / f"{name}.cs"
        # Mono's compiler reads directives also where they are switched off, and does not know this one.
        copy = directory / source.name
        copy.write_text(source.read_text().replace("#nullable disable\n", ""))
        sources.append(copy)
    made = directory / f"{program}.exe"
    options = ["-langversion:7.2", "-warnaserror", "-d:NETFRAMEWORK", "-r:System.Web.Extensions", f"-out:{made}"]
    done = subprocess.run(
        [compiler, *options, *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made

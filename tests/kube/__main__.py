"""`python -m tests.kube --kubeconfig FILE`: the chart in a real cluster; exit 0 only if all of it is as it should be.

The cluster's nodes must reach this machine's loopback, for Redis and the OP are started here: nodes on this machine, in
its network. It must have the custom resources that the cases use, and helm and kubectl must be on PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.kube import canary, cases, rollouts
from tests.kube.cluster import Cluster, FailedError


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.kube", description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--image", default="", help="values of the image, as image.repository=…,image.tag=…")
    parser.add_argument(
        "--moved", default="=", help="where Services are reached from here: a prefix of their addresses, =, its place"
    )
    parser.add_argument("--parts", default="cases,rollouts,canary", help="default %(default)s")
    given = parser.parse_args()
    before, _, after = given.moved.partition("=")
    cluster = Cluster(
        kubeconfig=given.kubeconfig,
        namespace=f"logout-{int(time.time())}",
        image=tuple(filter(None, given.image.split(","))),
        moved=(before, after),
    )
    cluster.make()
    try:
        with tempfile.TemporaryDirectory() as directory:
            if "cases" in given.parts:
                cases.check(cluster, Path(directory), _say)
            if "rollouts" in given.parts:
                asyncio.run(rollouts.check(cluster, Path(directory), _say))
            if "canary" in given.parts:
                asyncio.run(canary.check(cluster, Path(directory), _say))
    except FailedError as failure:
        _say(f"FAILED: {failure}")
        return 1
    finally:
        cluster.remove()
    _say("all as it should be")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

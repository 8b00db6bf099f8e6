"""Every case of `helm/ci` installed, upgraded to every other, from and to an earlier release's chart, uninstalled."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

from tests.chaos.children import ROOT
from tests.kube.cluster import Cluster, FailedError
from tests.versions.releases import EARLIER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CHART = ROOT / "helm"
RELEASE = "case"
PODS_S = 60.0
"""Seconds in which the pods of a step are made; they need not start."""

TEXT = "0123456789abcdef" * 2
CA = (ROOT / "tests" / "helm" / "ca.crt").read_text()

NEEDED = {
    "Secret": {
        "redis": {"password": TEXT, "redis-password": TEXT},
        "sentinel": {"password": TEXT},
        "redis-tls": {"ca.crt": CA, "tls.crt": CA, "tls.key": TEXT},
        "proxy": {"url": "http://user:secret@proxy.example.com:3128"},
        "api": {"token": TEXT, "bearer": TEXT},
        "index": {"secret": TEXT},
        "revocation-clients": {"portal": TEXT},
        "sessions-redis": {"password": TEXT},
    },
    "ConfigMap": {
        "private-ca": {"ca.crt": CA},
        "proxy-exceptions": {"NO_PROXY": "example.com"},
        "our-receiver-config": {
            "config.yaml": json.dumps(
                {
                    "redis": {"url": "redis://redis.example.com"},
                    "tenants": [{"name": "main", "issuer": "https://op.example.com", "client_ids": ["portal"]}],
                    "caches": [{"name": "web", "layout": "msal-node", "prefix": "web:"}],
                }
            )
        },
    },
}
"""What the cases name and the chart does not make."""


def earlier_chart(directory: Path) -> Path:
    """The chart of the earlier release, unpacked here."""
    packed = subprocess.run(["git", "archive", EARLIER, "helm"], cwd=ROOT, capture_output=True, check=True, timeout=60)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory / "helm"


def cases(chart: Path) -> list[Path]:
    """Its values files."""
    return sorted((chart / "ci").glob("*-values.yaml"))


def walk(values: list[Path]) -> list[Path]:
    """These in an order in which each comes right after each other one."""
    order = values[:1]
    for index, first in enumerate(values):
        order += [first] if index else []
        for second in values[index + 1 :]:
            order += [second, first]
    return order


def check(cluster: Cluster, directory: Path, say: Callable[[str], None]) -> None:
    """Go through all of them.

    Raises:
        FailedError: one was refused, warned of, has pods that are refused, or left something behind.
    """
    for kind, named in NEEDED.items():
        for name, data in named.items():
            made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
            field = "stringData" if kind == "Secret" else "data"
            cluster.kubectl("create", "-f", "-", given=json.dumps({**made, field: data}))
    _go(cluster, [(CHART, values) for values in walk(cases(CHART))], say)
    earlier = earlier_chart(directory)
    for values in cases(earlier):
        _go(cluster, [(chart, values) for chart in (earlier, CHART, earlier)], say)


def _go(cluster: Cluster, way: list[tuple[Path, Path]], say: Callable[[str], None]) -> None:
    verb = "install"
    for chart, values in way:
        name = f"{verb} {'this' if chart == CHART else 'earlier'} {values.name.removesuffix('-values.yaml')}"
        cluster.install(verb, RELEASE, str(chart), "--values", str(values))
        _pods_are_made(cluster, name)
        say(name)
        verb = "upgrade"
    _uninstall(cluster)


def _pods_are_made(cluster: Cluster, name: str) -> None:
    """Wait until the controllers have seen what was asked for, and made the pods. None is refused then."""
    end = time.monotonic() + PODS_S
    while lacking := {
        one["metadata"]["uid"]: one["metadata"]["name"]
        for one in cluster.objects("deployments,replicasets,statefulsets")
        if one["status"].get("observedGeneration", 0) < one["metadata"]["generation"]
        or (one["kind"] != "Deployment" and one["status"].get("replicas", 0) < one["spec"]["replicas"])
    }:
        if time.monotonic() > end:
            # What is said of objects that are gone by now is of no interest: their service account was gone first.
            why = [
                event["message"][:400]
                for event in cluster.objects("events", "--field-selector", "reason=FailedCreate")
                if event["involvedObject"]["uid"] in lacking
            ]
            raise FailedError(f"{name}: no pods of {', '.join(lacking.values())}: {why}")
        time.sleep(0.5)


def _uninstall(cluster: Cluster) -> None:
    cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "120s")
    selector = f"app.kubernetes.io/instance={RELEASE}"
    kinds = (
        "deployments,statefulsets,jobs,services,configmaps,secrets,serviceaccounts,pdb,networkpolicies,ingresses,hpa"
    )
    left = [f"{one['kind']} {one['metadata']['name']}" for one in cluster.objects(kinds, "-l", selector)]
    if left:
        raise FailedError(f"left behind: {', '.join(left)}")

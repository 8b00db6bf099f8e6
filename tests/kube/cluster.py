"""A namespace of a cluster, by kubectl and helm."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from typing import Any

RESTRICTED = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")]


class FailedError(Exception):
    """Something is not as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What is tried where.

    Attributes:
        kubeconfig: Path; the current context in it is used.
        namespace: Made here, with the restricted Pod Security Standard enforced, and deleted at the end.
        image: Values of the image that every installation gets, as `helm --set` takes them.
        moved: A prefix of the Services' addresses, and what stands in its place where they are reached from here.
    """

    kubeconfig: str
    namespace: str
    image: tuple[str, ...]
    moved: tuple[str, str]

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run it; what it printed."""
        return self._ran(("kubectl", *arguments), given)[0]

    def helm(self, *arguments: str) -> str:
        """Run it; what it said, a warning being a failure.

        Raises:
            FailedError: it failed, or the API server warned.
        """
        out, err = self._ran(("helm", *arguments))
        if "warning" in err.lower():
            raise FailedError(f"helm {' '.join(arguments[:2])}: {err.strip()[:600]}")
        return out

    def install(self, verb: str, release: str, chart: str, *arguments: str) -> str:
        """`helm install` or `upgrade` with the image."""
        sets = [word for one in self.image for word in ("--set", one)]
        return self.helm(verb, release, chart, *arguments, *sets)

    def objects(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return found

    def address(self, service: str) -> str:
        """Host and port of a Service, as reached from here."""
        spec = json.loads(self.kubectl("get", "service", service, "-o", "json"))["spec"]
        return f"{spec['clusterIP'].replace(*self.moved, 1)}:{spec['ports'][0]['port']}"

    async def aside(self, *arguments: str) -> str:
        """`kubectl`, while the event loop goes on."""
        return await asyncio.to_thread(self.kubectl, *arguments)

    def make(self) -> None:
        """Make the namespace."""
        self.kubectl("create", "namespace", self.namespace)
        self.kubectl("label", "namespace", self.namespace, *RESTRICTED)

    def remove(self) -> None:
        """Delete it with all that is in it."""
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def _ran(self, command: tuple[str, ...], given: str | None = None) -> tuple[str, str]:
        place = ("--kubeconfig", self.kubeconfig, "--namespace", self.namespace)
        ran = subprocess.run(
            [command[0], *place, *command[1:]], input=given, capture_output=True, text=True, check=False, timeout=600
        )
        if ran.returncode:
            raise FailedError(f"{' '.join(command[:4])}: {(ran.stderr or ran.stdout).strip()[:600]}")
        return ran.stdout, ran.stderr

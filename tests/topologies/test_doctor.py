"""`receiver doctor` behind Sentinel and on a Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.bus.link.inspect import RedisFacts
from receiver.diagnosis import doctor
from receiver.diagnosis.redis_checks import check_redis, check_standbys
from receiver.ops.settings import Settings

if TYPE_CHECKING:
    from tests.topologies.servers import Cluster, SentinelSetUp


@pytest.mark.topology
@pytest.mark.parametrize(("kind", "standbys", "replicas"), [("sentinel", 2, 2), ("cluster", 5, 1)])
async def test_every_server_is_looked_at(
    request: pytest.FixtureRequest, kind: str, standbys: int, replicas: int
) -> None:
    """The primary may be published to; each other server that keeps nothing on disk is named."""
    topology: SentinelSetUp | Cluster = request.getfixturevalue(kind)
    access = {"sentinel_username": "receiver", "sentinel_password": "secret"} if kind == "sentinel" else {}
    checks = await doctor.examine(Settings(redis={"url": topology.url(), "wait_replicas": replicas + 1, **access}))
    found = {check.name: check for check in checks if check.area == "redis"}
    assert ("ok", "ok", "failed") == tuple(found[name].outcome for name in ("reachable", "publish", "replicas"))
    assert f"{replicas} connected" in found["replicas"].text
    named = {check.text.split(": ")[0] for check in checks if check.name == "standby"}
    assert (standbys, True) == (len(named), all(name.startswith("127.0.0.1:") for name in named))


@pytest.mark.parametrize(
    ("replicas", "outcome"), [(0, "failed"), (1, "warning"), (2, "ok"), (None, "warning")], ids=str
)
def test_replicas_waited_for(replicas: int | None, outcome: str) -> None:
    """More asked for than there are stops every logout; exactly as many is one failure away from it."""
    checks = check_redis(RedisFacts(role="master", replicas=replicas), wait_replicas=1)
    assert [outcome] == [check.outcome for check in checks if check.name == "replicas"]


def test_standbys() -> None:
    """One line when all are well; one for each thing that is not."""
    good = RedisFacts(max_memory_policy="noeviction", append_only=True, append_fsync="always")
    [check] = check_standbys({"a:1": good, "b:2": good})
    assert ("ok", "2 other servers, as safe as the primary") == (check.outcome, check.text)
    bad = RedisFacts(max_memory_policy="allkeys-lru", append_only=True)
    away, evicting = check_standbys({"a:1": RedisFacts(problem="X"), "b:2": bad})
    assert ("failed", "a:1: does not answer: X") == (away.outcome, away.text)
    assert evicting.text.startswith("b:2: maxmemory-policy allkeys-lru: can throw away")

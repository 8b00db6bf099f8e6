"""A short run of what `make chaos` does at length."""

from __future__ import annotations

import os
import secrets

import pytest

from tests.chaos.plan import KILLS, Plan
from tests.chaos.run import run

SEED_VARIABLE = "CHAOS_SEED"
"""Environment variable that plays a seed again."""


async def test_no_acknowledged_logout_is_lost() -> None:
    """With everything killed and the network broken meanwhile, every logout answered 200 reaches every app, once."""
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(1_000_000))
    result = await run(Plan(logouts=600, kills=12, faults=6, seed=seed, pace_s=0.6, settle_s=60, deadline_s=150))

    assert result.good, f"{SEED_VARIABLE}={seed}\n{result.table()}\n{result.logs}"
    assert 600 == result.acknowledged + result.given_up
    assert 400 < result.acknowledged
    assert 12 == sum(result.struck[what] for what in KILLS)


@pytest.mark.parametrize("kind", ["disk", "clock"])
async def test_no_acknowledged_logout_is_lost_where(kind: str) -> None:
    """A full disk of the receivers and a stepping clock of Redis lose nothing."""
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(1_000_000))
    result = await run(
        Plan(logouts=300, kills=3, faults=5, kinds=(kind,), seed=seed, pace_s=0.6, settle_s=60, deadline_s=150)
    )

    assert result.good, f"{SEED_VARIABLE}={seed}\n{result.table()}\n{result.logs}"
    assert 5 == result.struck[kind]
    assert 200 < result.acknowledged


@pytest.mark.timeout(120)
async def test_a_loss_is_found() -> None:
    """With a Redis that forgets, acknowledged logouts are counted as lost, and apps were told to drop everything."""
    result = await run(
        Plan(logouts=100, kills=5, faults=0, seed=7, pace_s=0.4, settle_s=1, deadline_s=100, durable=False)
    )

    assert 1 <= result.struck["redis"]
    assert result.lost
    assert not result.good
    assert sum(app.resets for app in result.apps)


def test_a_seed_is_a_plan() -> None:
    """The same seed plays the same strikes, as many as asked for; another seed plays others."""
    plan, other = (Plan(logouts=1, kills=20, faults=5, seed=seed) for seed in (1, 2))

    assert plan.strikes() == plan.strikes()
    assert plan.strikes() != other.strikes()
    assert 25 == len(other.strikes())

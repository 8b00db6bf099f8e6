"""The plays of tokens are alive: receiver and oracle can contradict each other, and agree at every limit."""

from __future__ import annotations

import pytest

from tests.fuzz import logout_requests as target
from tests.fuzz import oracle
from tests.support.clock import NOW


def test_disagreement_is_noticed() -> None:
    """A target that could not fail would prove nothing: a token the oracle condemns must not be accepted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracle, "faults", lambda *_: ["the oracle says no"])
        with pytest.raises(AssertionError, match="accepted, against a rule"):
            target.judge(target.LAX.valid())
        patch.setattr(oracle, "faults", lambda *_: [])
        with pytest.raises(AssertionError, match="refused, and breaks no rule"):
            target.judge("not a token")


@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
def test_limits_are_where_the_oracle_has_them(name: str) -> None:
    """At and around every limit of every date, receiver and oracle decide alike."""
    for limit in (-660, -600, -60, 0, 60, 300, 600):
        for nudge in (-1, -0.001, 0, 0.001, 1):
            for op in (target.LAX, target.STRICT):
                target.judge(op.token(op.header(), {**op.claims(), name: NOW + limit + nudge}))

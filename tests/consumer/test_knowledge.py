"""What a guard knows by itself, and for how long: no Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.consumer.health import STALE_AFTER_S
from receiver.consumer.knowledge import ASK_AGAIN_AFTER_S, KEEP_OVER_S, NOT_ASKED, PAUSE_S, Asked, Knowledge, Status
from receiver.core import local_marks
from receiver.core.sign_in import SignIn, from_claims
from tests.consumer.alice import claims, logout
from tests.support.clock import NOW, Clock

if TYPE_CHECKING:
    import pytest


def test_redis_is_not_asked_again_at_once(clock: Clock) -> None:
    """After a failed question an outage is remembered for a moment, then Redis is asked again."""
    knowledge = Knowledge(clock=clock)
    knowledge.redis_failed()

    assert knowledge.redis_is_away
    clock.advance(PAUSE_S)
    assert not knowledge.redis_is_away


def test_what_is_over_is_never_forgotten(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """A session that was known stays ended when its mark gives way to newer ones; one that is live is asked about."""
    monkeypatch.setattr(local_marks, "MAX_MARKS", 10)
    knowledge = Knowledge(clock=clock)
    seen, unseen, live = (from_claims(claims(sub=sub, sid=f"sid-{sub}")) for sub in ("seen", "unseen", "live"))
    for sign_in in (seen, unseen, live):
        knowledge.learn(sign_in, asked_at=clock())
    for sub in ("seen", "unseen"):
        knowledge.note(logout(sub, sub=sub, sid=f"sid-{sub}"))
    assert "ended" == knowledge.status(seen, last_read_s=clock())

    for number in range(20):
        knowledge.note(logout(f"e{number}", sub="bob", sid=f"b{number}"))

    statuses = [knowledge.status(sign_in, last_read_s=clock()) for sign_in in (seen, unseen, live)]
    assert ["ended", "ended", "unknown"] == statuses


def test_what_is_over_is_kept_for_weeks(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """A session that has ended is forgotten after two of the times it is kept at least, and not after one."""
    monkeypatch.setattr(local_marks, "MAX_MARKS", 0)
    knowledge = Knowledge(clock=clock)
    sign_in = from_claims(claims())
    knowledge.learn_over(sign_in)

    clock.advance(KEEP_OVER_S + 1)
    knowledge.learn_over(from_claims(claims(sub="bob")))
    assert "ended" == knowledge.status(sign_in, last_read_s=clock())


def test_no_answer_is_kept_while_redis_may_have_lost_its_marks(clock: Clock) -> None:
    """At the start and after a reset Redis is asked each time, until it has an epoch or an entry was read."""
    knowledge = Knowledge(clock=clock)
    sign_in = from_claims(claims())
    knowledge.learn(sign_in, asked_at=clock(), has_epoch=False)
    assert "unknown" == knowledge.status(sign_in, last_read_s=clock())

    knowledge.learn(sign_in, asked_at=clock(), has_epoch=True)
    assert "live" == knowledge.status(sign_in, last_read_s=clock())
    knowledge.forget()
    knowledge.note(logout(sub="bob", sid="s9"))
    knowledge.learn(sign_in, asked_at=clock(), has_epoch=False)
    assert "live" == knowledge.status(sign_in, last_read_s=clock())


def test_anew_counts_while_redis_may_have_lost_its_marks(clock: Clock) -> None:
    """A sign-in that was registered as anew is not held for the one of the same second that is over."""
    knowledge = Knowledge(clock=clock)
    sign_in = from_claims(claims())
    knowledge.learn_over(sign_in)
    knowledge.learn(sign_in, asked_at=clock(), has_epoch=False, newer=True)

    assert "unknown" == knowledge.status(sign_in, last_read_s=clock())


def test_stale_copy_is_not_believed(clock: Clock) -> None:
    """What was asked before counts only while the process hears of evictions."""
    knowledge = Knowledge(clock=clock)
    knowledge.learn(from_claims(claims()), asked_at=clock())

    assert "live" == knowledge.status(from_claims(claims()), last_read_s=clock())
    assert "unknown" == knowledge.status(from_claims(claims()), last_read_s=clock() - STALE_AFTER_S)
    assert "unknown" == knowledge.status(from_claims(claims()), last_read_s=None)


def test_what_was_said_is_said_again_only_as_long_as_it_holds(clock: Clock) -> None:
    """Until the process is deaf, or something was heard, or an account of its own is to be asked about again."""
    read_at: float | None = None
    knowledge = Knowledge(clock=clock, last_read=lambda: read_at)
    entra, other = from_claims(claims(), home_account_id="uid.utid"), from_claims(claims(sub="carol", sid="s3"))
    for sign_in in (entra, other):
        knowledge.learn(sign_in, asked_at=clock())

    def known() -> list[Status]:
        return [knowledge.known(sign_in) for sign_in in (entra, other)]

    assert ["unknown", "unknown"] == known()
    read_at = clock()
    assert ["live", "live"] == known()
    clock.advance(STALE_AFTER_S - 1)
    assert ["live", "live"] == known()
    clock.advance(1)
    assert ["unknown", "unknown"] == known()
    read_at = clock()
    assert ["unknown", "live"] == known()
    knowledge.learn(entra, asked_at=clock())
    assert ["live", "live"] == known()
    knowledge.note(logout("e3", sub="carol", sid="s3"))
    assert ["live", "ended"] == known()
    knowledge.forget()
    assert ["unknown", "ended"] == known()


@dataclass
class Visitor:
    """Of whom each request asks."""

    sign_in: SignIn
    asked: Asked = NOT_ASKED


def test_live_visitor_is_live_until_something_is_heard(clock: Clock) -> None:
    """With what was kept for the visitor the answer is the same as from the sign-in alone."""
    read_at = clock()
    knowledge = Knowledge(clock=clock, last_read=lambda: read_at)
    visitor = Visitor(from_claims(claims()))
    assert not knowledge.is_live(visitor)
    knowledge.learn(visitor.sign_in, asked_at=clock())
    assert knowledge.is_live(visitor)
    assert knowledge.is_live(visitor)
    knowledge.note(logout("e1", sub="bob", sid="s2"))
    assert knowledge.is_live(visitor)
    clock.advance(STALE_AFTER_S)
    assert not knowledge.is_live(visitor)
    read_at = clock()
    assert knowledge.is_live(visitor)
    knowledge.forget()
    assert not knowledge.is_live(visitor)
    knowledge.learn(visitor.sign_in, asked_at=clock())
    assert knowledge.is_live(visitor)
    knowledge.note(logout())
    assert not knowledge.is_live(visitor)


def test_what_the_process_before_a_fork_knew_does_not_count(clock: Clock) -> None:
    """A child asks about each session itself, also about one that it has seen live as its parent."""
    parent, child = (Knowledge(clock=clock, last_read=lambda: NOW) for _ in range(2))
    visitor = Visitor(from_claims(claims()))
    parent.learn(visitor.sign_in, asked_at=clock())
    assert parent.is_live(visitor)
    assert not child.is_live(visitor)


def test_account_marked_without_an_event_is_asked_about_again(clock: Clock) -> None:
    """A session under an account of its own is believed for ten seconds; one whose account is the subject for good."""
    knowledge = Knowledge(clock=clock)
    entra, other = from_claims(claims(), home_account_id="uid.utid"), from_claims(claims())
    for sign_in in (entra, other):
        knowledge.learn(sign_in, asked_at=clock())

    clock.advance(ASK_AGAIN_AFTER_S - 1)
    assert ["live", "live"] == [knowledge.status(sign_in, last_read_s=clock()) for sign_in in (entra, other)]
    clock.advance(1)
    assert ["unknown", "live"] == [knowledge.status(sign_in, last_read_s=clock()) for sign_in in (entra, other)]

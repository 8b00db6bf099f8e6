"""Whose turn it is: flows take turns, what belongs together keeps its order, a lone order ahead is not held up."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from receiver.core.eviction import Eviction
from receiver.evictor.flows import IN_HAND_TURNS, SMALL, Flows, flow_of, names_of, outline

STORM = Eviction(id="e", tenant="t1", iss="https://op", scope="user", logout_at=1000, received_at=1000.0)


def of(sub: str, **changes: Any) -> Eviction:
    """One of the storm, unless something is different."""
    return replace(STORM, sub=sub, **changes)


def all_turns(turns: Flows, *, done: bool = True) -> list[str]:
    """The order in which they have their turn, each done before the next one."""
    order = []
    while (turn := turns.take()) is not None:
        order.append(turn[0])
        if done:
            turns.done([turn[0]])
    return order


def test_flows_take_turns() -> None:
    """A storm holds up no other tenant, input, client, reason, and nothing that came in at another time."""
    turns = Flows()
    for number in range(50):
        turns.add(f"storm{number}", of(f"u{number}"), in_hand=True)
    others = {
        "tenant": of("a", tenant="t2"),
        "input": of("b", input="admin"),
        "origin": of("c", origin="RISC"),
        "client": of("d", client_id="c9"),
        "reason": of("e", reason="stolen laptop"),
        "later": of("f", received_at=1007.5),
    }
    for name, eviction in others.items():
        turns.add(name, eviction, in_hand=True)
    assert ["storm0", *others, "storm1"] == all_turns(turns)[: len(others) + 2]


def test_turns_go_round_at_each_step() -> None:
    """A storm of many clients and seconds is one storm: it holds up no other tenant, and no other input of its own."""
    turns = Flows()
    for number in range(300):
        storm = of(f"u{number}", client_id=f"c{number % 3}", received_at=1000.0 + number)
        turns.add(f"storm{number}", storm, in_hand=number < 30)
    turns.add("tenant", of("a", tenant="t2"), in_hand=True)
    turns.add("input", of("b", input="admin"), in_hand=True)
    turns.add("ahead", of("c", tenant="t2"), in_hand=False)
    turns.add("input ahead", of("d", input="admin", received_at=2000.0), in_hand=False)
    assert {"tenant", "input", "ahead", "input ahead"} <= set(all_turns(turns)[: 4 * (IN_HAND_TURNS + 1)])


def test_room_for_those_ahead() -> None:
    """What is known of each is small: a hundred thousand may be ahead."""
    turns = Flows()
    events = [of(f"u{number}", sid=f"s{number}").to_json().encode() for number in range(2000)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number, event in enumerate(events):
            found = outline(event)
            assert found is not None
            turns.add_outline(f"1700000000000-{number}", *found, in_hand=False)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(events) < 800


def test_order_within_a_flow() -> None:
    """What came first has its turn first."""
    turns = Flows()
    names = [f"n{number}" for number in range(9)]
    for name in names:
        turns.add(name, of(name), in_hand=True)
    assert names == all_turns(turns)


def test_what_belongs_together_keeps_its_order() -> None:
    """Evictions that share a subject, a session or an account are done one after the other, across flows, too."""
    turns = Flows()
    turns.add("first", of("u1", sid="s1", accounts=("a1",)), in_hand=True)
    turns.add("same user", of("u1", tenant="t2"), in_hand=True)
    turns.add("same session", of("u2", sid="s1", tenant="t3"), in_hand=True)
    turns.add("same account", of("u3", accounts=("a1",), tenant="t4", iss="https://other"), in_hand=True)
    turns.add("another issuer's", of("u1", sid="s1", iss="https://other", tenant="t5"), in_hand=True)
    assert ["first", "another issuer's"] == all_turns(turns, done=False)
    turns.done(["first"])
    assert {"same user", "same session", "same account"} == set(all_turns(turns, done=False))


def test_a_lone_order_ahead() -> None:
    """It has its turn although a storm is in hand and ahead of it; of the storm ahead nothing has."""
    turns = Flows()
    for number in range(20):
        turns.add(f"in hand {number}", of(f"u{number}"), in_hand=True)
    for number in range(SMALL + 1):
        turns.add(f"ahead {number}", of(f"v{number}"), in_hand=False)
    turns.add("lone", of("w", input="admin"), in_hand=False)
    order = all_turns(turns)
    assert IN_HAND_TURNS == order.index("lone")
    assert not [name for name in order if name.startswith("ahead")]
    assert 0 == turns.in_hand


def test_a_lone_order_waits_for_its_own() -> None:
    """It does not overtake an eviction of the same user, in hand or ahead."""
    turns = Flows()
    turns.add("in hand", of("u1"), in_hand=True)
    turns.add("lone", of("u1", input="admin"), in_hand=False)
    assert ("in hand", True) == turns.take()
    assert turns.take() is None
    turns.done(["in hand"])
    assert ("lone", False) == turns.take()


def test_in_hand_before_ahead() -> None:
    """What is taken over from another worker does not wait for the same user's eviction ahead, unless that is begun."""
    turns = Flows()
    for number in range(SMALL + 1):
        turns.add(f"ahead {number}", of(f"u{number}"), in_hand=False)
    turns.add("lone", of("u1", input="admin"), in_hand=False)
    turns.add("taken over", of("u1"), in_hand=True)
    assert ["taken over"] == all_turns(turns)
    turns.add("of the lone one", of("v", input="admin"), in_hand=False)
    assert ("of the lone one", False) == turns.take()
    turns.add("waits", of("v"), in_hand=True)
    assert turns.take() is None
    turns.done(["of the lone one"])
    assert ("waits", True) == turns.take()


def test_given_while_it_waits_or_is_worked_on() -> None:
    """One that was ahead is in hand once it is given, and has one turn, not two."""
    turns = Flows()
    turns.add("waits", of("u1"), in_hand=False)
    turns.given("waits")
    assert ("waits", True) == turns.take()
    turns.add("is worked on", of("u2"), in_hand=False)
    assert ("is worked on", False) == turns.take()
    turns.given("is worked on")
    assert turns.take() is None
    assert 2 == turns.in_hand
    turns.done(["waits", "is worked on", "never known"])
    assert 0 == turns.in_hand
    assert "waits" not in turns


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sub": None, "sid": "s1"},
        {"sid": "s1", "accounts": ("a1", "a2", "u1")},
        {
            "client_id": "c1",
            "origin": "graph",
            "reason": "lost laptop",
            "input": "admin",
            "received_at": 1795919617.229,
        },
        {"iss": "https://ö.example", "sub": "ü€\U0001f600"},
    ],
)
def test_an_outline(changes: dict[str, Any]) -> None:
    """It says of an event what reading all of it says."""
    eviction = replace(of("u1"), **changes)
    assert (flow_of(eviction), names_of(eviction)) == outline(eviction.to_json().encode())


@pytest.mark.parametrize(
    ("member", "value"),
    [("type", "other"), ("time", "yesterday"), ("time", None), ("data", None), ("data", []), ("data", {"iss": "x"})],
)
def test_what_has_no_outline(member: str, value: object) -> None:
    """What is no event of ours, or is damaged, is left to the worker it is given to."""
    event = {**json.loads(of("u1").to_json()), member: value}
    assert outline(json.dumps(event).encode()) is None


@pytest.mark.parametrize("text", [b"", b"7", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_event(text: bytes) -> None:
    """Anything else is none either."""
    assert outline(text) is None


def test_names_that_are_no_text() -> None:
    """A list in place of a name ends nothing."""
    event = json.loads(of("u1").to_json())
    damages: list[dict[str, Any]] = [{"sub": ["u1"]}, {"accounts": [["a1"]]}, {"accounts": 7}, {"reason": {}}]
    for damaged in damages:
        assert outline(json.dumps({**event, "data": {**event["data"], **damaged}}).encode()) is None

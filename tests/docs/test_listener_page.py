"""docs/listener.md: its rules, its script, and what the kit says of them."""

from __future__ import annotations

import re

from receiver.bus.events.acks import ACKNOWLEDGE
from tests.docs.pages import blocks, read
from tests.listeners.situations import SITUATIONS

PAGE = read("listener.md")
RULES = re.findall(r"^\*\*([A-Z][0-9]+)\b", PAGE, re.MULTILINE)


def test_the_script_is_the_receivers() -> None:
    """What the page gives to run is what this package runs, but for comments."""
    code = [line for line in ACKNOWLEDGE.text.splitlines() if line and not line.lstrip().startswith("--")]
    [block] = blocks(PAGE, "lua")
    assert code == block.splitlines()


def test_rules_have_one_number_each() -> None:
    """A number means one rule."""
    assert len(RULES) == len(set(RULES))


def test_the_kit_names_rules_of_the_page() -> None:
    """The rules beside a situation are on the page."""
    named = {rule for situation in SITUATIONS for rule in situation.rules.split()}
    assert named <= set(RULES)


def test_rights_are_those_of_a_listener_and_the_marks() -> None:
    """The line of the page grants what the events' page does, and to read marks."""
    [line] = blocks(PAGE, "redis-acl-listener")
    [users] = blocks(read("events.md"), "redis-acl")
    [listener] = [user for user in users.splitlines() if user.startswith("ACL SETUSER listener ")]
    assert {*listener.split(), "~{logout}:mark:*", "+mget"} == set(line.split())

"""The table of rules: numbered in the order they are asked, and complete."""

from __future__ import annotations

import base64
import gc
import json
import re
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from receiver.core.signals import security_event, set_claims
from receiver.core.tenants import TenantDirectory
from receiver.core.tokens import jws, logout_token
from receiver.core.tokens.logout_token import PARSING, PARSING_AT_ONCE, RULES, SCREENING, VERIFYING
from receiver.core.tokens.rule import Examination, NotFoundError, Rule, enforce_together
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping


def numbers() -> list[tuple[int, ...]]:
    """The numbers as they can be compared."""
    return [tuple(map(int, rule.number.split("."))) for rule in RULES]


def test_rules_are_numbered_in_their_order() -> None:
    """Stages follow each other, and inside a stage the places do, without a gap."""
    for (stage, place), (next_stage, next_place) in zip(numbers(), numbers()[1:], strict=False):
        assert (next_stage, next_place) in {(stage, place + 1), (stage + 1, 1)}


def test_rules_have_names_of_their_own() -> None:
    """A name says which rule."""
    assert len(RULES) == len({rule.name for rule in RULES})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_says_where_it_is_from_and_what_to_do(rule: Rule) -> None:
    """Each rule names its section, and for each code it refuses with who has to change what."""
    assert rule.section
    assert rule.refusals
    assert all(advice.startswith(("OP: ", "Operator: ")) for advice in rule.refusals.values())


def test_check_bears_its_number() -> None:
    """The comment in each check begins with the number of its rule, so that the table leads to the reason and back."""
    sources = Path(logout_token.__file__).parent.glob("*.py")
    found = [
        number
        for source in sources
        for number in re.findall(r"^ +# Rule ([\d.]+)\. ", source.read_text(), re.MULTILINE)
    ]

    assert sorted(rule.number for rule in RULES) == sorted(found)


def test_check_of_a_security_event_bears_its_number() -> None:
    """So do the checks that are a SET's own."""
    text = Path(set_claims.__file__).read_text()
    found = re.findall(r"^ +# SET rule ([\d.]+)\. ", text, re.MULTILINE)

    names = {rule.name for rule in (set_claims.TRANSMITTER_RULE, set_claims.AUDIENCE_RULE, *set_claims.RULES)}
    assert sorted(rule.number for rule in security_event.RULES if rule.name in names) == sorted(found)


def test_every_code_of_a_token_is_refused_by_a_rule() -> None:
    """No code of tokens is without its rule."""
    refused = {code for rule in RULES for code in rule.refusals}

    assert {code for code in Code if code.name.endswith("_MISSING") or "KEY" in code.name} <= refused
    assert {Code.SIGNATURE, Code.NONCE, Code.EVENTS, Code.AUDIENCE, Code.EXPIRED} <= refused


def test_rules_that_cost_a_key_come_last() -> None:
    """Nothing before the last stage can look at a key: junk costs no key fetch and no verification."""
    assert (*PARSING, *SCREENING, *VERIFYING) == RULES
    at_once = [jws.HEADER_RULES if rule is jws.HEADER_AT_ONCE else (rule,) for rule in PARSING_AT_ONCE]
    assert [rule for rules in at_once for rule in rules] == [*PARSING]
    for rule in (*PARSING, *SCREENING):
        assert Code.JWKS_UNAVAILABLE not in rule.refusals


def test_what_is_not_found_is_named() -> None:
    """An examination says which attribute is missing, and knows it for missing."""
    with pytest.raises(NotFoundError) as caught:
        _ = Examination().claims
    assert "claims" == caught.value.attribute
    assert not hasattr(Examination(), "claims")


def test_one_failure_takes_no_other_token_down() -> None:
    """Of tokens that are asked together each ends at the first rule it breaks; the others go on."""
    asked: list[tuple[str, str]] = []

    def rule(name: str, refuses: str) -> Rule:
        def check(examination: Examination) -> None:
            asked.append((name, examination.compact))
            if examination.compact == refuses:
                raise ValueError(name)

        return Rule("1.1", name, "", check, {})

    examinations = [Examination.of_text(text, TenantDirectory(())) for text in ("a", "b")]
    failed = enforce_together([rule("first", "a"), rule("second", "none")], examinations)

    assert [("first", "a"), ("first", "b"), ("second", "b")] == asked
    assert {examinations[0]: "first"} == {examination: str(error) for examination, error in failed.items()}

    asked.clear()
    alone = {one.compact: enforce_together([rule("only", "a")], [one]) for one in examinations}

    assert [("only", "a"), ("only", "b")] == asked
    assert {"a": ["only"], "b": []} == {text: [str(error) for error in one.values()] for text, one in alone.items()}


def test_what_was_refused_together_leaves_nothing_to_collect() -> None:
    """A flood of refused tokens gives the garbage collector, which holds up every logout, no work."""
    gc.collect()
    gc.disable()
    try:
        examinations = [Examination.of_text(f"bad{number}", TenantDirectory(())) for number in range(3)]
        refused = [weakref.ref(error) for error in enforce_together(PARSING_AT_ONCE, examinations).values()]
        assert [None] * 3 == [error() for error in refused]
    finally:
        gc.enable()


def test_rule_of_some_tenants_is_not_listed_before_the_tenant_is_known() -> None:
    """`explain` lists it only where the tenant gives it something to ask."""
    assert not next(rule for rule in RULES if rule.name == "tid").listed(Examination())


def test_header_that_has_passed_is_read_once() -> None:
    """The rules on a header find the same in it again; one that breaks a rule is refused each time."""
    segment = encode_base64url({"alg": "RS256", "kid": "read once"})
    first, again = _found_in(segment), _found_in(segment, rest="e31.e31")

    assert ("RS256", "read once") == (first.alg, first.kid) == (again.alg, again.kid)
    assert first.header is again.header
    for header, code in (({"kid": "k"}, Code.ALG), ({"alg": "RS256", "b64": False}, Code.CRIT)):
        for _ in range(2):
            with pytest.raises(LogoutTokenError) as caught:
                _found_in(encode_base64url(header))
            assert code is caught.value.code


def test_headers_of_a_forger_take_no_memory() -> None:
    """Only so many headers are kept, none of them long, and one that was forgotten is read again."""
    long = encode_base64url({"alg": "RS256", "kid": "x" * jws.MAX_KNOWN_HEADER_CHARS})
    for kid in range(2 * jws.KNOWN_HEADERS):
        _found_in(encode_base64url({"alg": "RS256", "kid": f"forged {kid}"}))
        assert len(jws._passed) <= jws.KNOWN_HEADERS

    assert _found_in(long).header is not _found_in(long).header
    assert "forged 0" == _found_in(encode_base64url({"alg": "RS256", "kid": "forged 0"})).kid


def encode_base64url(header: Mapping[str, object]) -> str:
    """A header as a token has it."""
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()


def _found_in(segment: str, rest: str = "e30.e30") -> Examination:
    examination = Examination()
    examination.signed = f"{segment}.{rest}"
    jws.HEADER_AT_ONCE.check(examination)
    return examination

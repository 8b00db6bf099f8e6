"""The short run of every fuzz target, and that every parser of what others wrote has one."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import receiver
from tests.fuzz.reached import functions, reached
from tests.fuzz.targets import CORPUS, TARGETS, corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(receiver.__file__).parent

CHANGED = 150
"""Inputs made by changing seeds and kept inputs, in each run the same."""

RAW_READERS = {
    "foreign_json.parse", "foreign_json.parse_at", "forms.parse", "json.loads", "parse_object", "parse_qsl",
    "Eviction.from_json", "parse_key_set", "parse_body", "read_body", "read_number", "id_token_claims",
    "session_values.read",
}  # fmt: skip
"""Calls by which text that something else wrote becomes data."""

_VALUES = "what the targets value-… play"
_TOKENS = "what the targets token and signed-token play"
_ONE_NUMBER = "its one number is read as an entry's is"
_BODY = "it hands the body to a parser that has a target"
_OP = "what comes back goes to a parser that has a target"
_OWN_DISK = "what this receiver wrote to its own disk"
_OPERATOR = "an operator's own file or setting"

ELSEWHERE = {
    "receiver.bus.events.groups:_unread": _ONE_NUMBER,
    "receiver.bus.events.groups:progress": _ONE_NUMBER,
    "receiver.bus.events.stream:Entry.eviction": "what the target event plays",
    "receiver.bus.events.stream:StreamReader._sequence": _ONE_NUMBER,
    "receiver.bus.link.urls:_check_parameters": _OPERATOR,
    "receiver.canary:Issuer.add_routes": "the canary's own keys",
    "receiver.core.layouts.msal_cache:parse": _VALUES,
    "receiver.core.layouts.session:Session.read": _VALUES,
    "receiver.core.layouts.session:_object": _VALUES,
    "receiver.core.layouts.session_values:_Search._in_form": _VALUES,
    "receiver.core.layouts.session_values:_Search._in_token": _VALUES,
    "receiver.core.layouts.session_values:_Search._objects": _VALUES,
    "receiver.core.layouts.wrapped:unwrap": _VALUES,
    "receiver.core.repeats:beside": _OWN_DISK,
    "receiver.core.tokens.jwe:decryption_keys": _OPERATOR,
    "receiver.core.tokens.jws:read_header": _TOKENS,
    "receiver.core.tokens.jws:read_claims": _TOKENS,
    "receiver.diagnosis.explain:read_key_set": _OPERATOR,
    "receiver.diagnosis.known_keys:_by_copy": _OP,
    "receiver.diagnosis.op:fetch_key_set": _OP,
    "receiver.diagnosis.op_checks:_check_keys": _OP,
    "receiver.ingress.api.names:NameCalls.erase": _BODY,
    "receiver.ingress.api.sessions:SessionCalls.check": _BODY,
    "receiver.ingress.api.sessions:SessionCalls.register": _BODY,
    "receiver.ingress.http.dispatcher:Dispatcher._serve": _BODY,
    "receiver.ingress.inputs.admin:OperatorOrders.read": _BODY,
    "receiver.ingress.keys.tenant_keys:TenantKeys._fetch_once": _OP,
    "receiver.ingress.keys.tenant_keys:TenantKeys.take_shared": _OP,
    "receiver.ingress.outbox.publisher:OutboxPublisher._read": _OWN_DISK,
    "receiver.ingress.outbox.publisher:OutboxPublisher._retry_set_aside": _OWN_DISK,
    "receiver.outbound.access_tokens:AccessTokens._fetch": "one text and one number, by type",
    "receiver.outbound.fetch:Fetcher._get_json": _OP,
    "receiver.outbound.source:AuthorizedSource.send": _OP,
}
"""Functions with such a call that have no target of their own, and why."""


@pytest.mark.parametrize("name", TARGETS)
def test_short_run(name: str) -> None:
    """Seeds, kept inputs, each cut short, and changes of them: only documented refusals come of any."""
    target = TARGETS[name]
    inputs = [*target.seeds, *corpus(name)]
    for data in inputs:
        target.play(data)
        for end in range(0, len(data), max(1, len(data) // 4)):
            target.play(data[:end])
    generator = random.Random(name)  # noqa: S311  # the same in each run
    for _ in range(CHANGED):
        target.play(_changed(generator, inputs))


@pytest.mark.parametrize("name", TARGETS)
def test_target_reaches_its_parsers(name: str) -> None:
    """The short run of a target enters every function it is for."""
    target = TARGETS[name]

    entered = functions(place for data in [*target.seeds, *corpus(name)] for place in reached(target.play, data))

    assert [] == sorted(set(target.parsers) - entered)


def test_every_parser_has_a_target() -> None:
    """A function that turns foreign text into data is a target's, or stands above with the reason why not."""
    with_target = {parser for target in TARGETS.values() for parser in target.parsers}
    found = set(_parsers())

    assert [] == sorted(found - with_target - ELSEWHERE.keys())
    assert [] == sorted(ELSEWHERE.keys() - found)


def test_every_kept_input_is_of_a_target() -> None:
    """The directory holds the inputs of targets, and none that failed."""
    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()


def _changed(generator: random.Random, inputs: list[bytes]) -> bytes:
    data = bytearray(generator.choice(inputs))
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(len(data) + 1)
        match generator.randrange(4):
            case 0:
                data[at : at + generator.randint(1, 8)] = generator.randbytes(generator.randint(0, 8))
            case 1:
                data[at:at] = generator.choice(
                    [b"null", b"1e999", b'"', b"{", b"[]", b"\\ud800", b"\x00", b"NaN", b","]
                )
            case 2:
                other = generator.choice(inputs)
                data[at:] = other[generator.randrange(len(other) + 1) :]
            case _:
                data[at:at] = data[at : at + 64]
    return bytes(data)


def _parsers() -> Iterator[str]:
    """Every function of the package that makes such a call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("receiver", *path.relative_to(PACKAGE).with_suffix("").parts))
        tree = ast.parse(path.read_text())
        for prefix, body in [
            ("", tree.body),
            *((f"{c.name}.", c.body) for c in tree.body if isinstance(c, ast.ClassDef)),
        ]:
            for node in body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and RAW_READERS & set(_calls(node)):
                    yield f"{module}:{prefix}{node.name}"


def _calls(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            yield ast.unparse(inner.func)

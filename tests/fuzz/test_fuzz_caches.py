"""Properties of the readers of cached values: any value is read or refused, and nothing else happens."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from receiver.core.layouts import LAYOUTS, forms, java, msgpack, pickled, session_values
from receiver.core.layouts.layout import STRING
from receiver.errors import BadValueError
from tests.fuzz.strategies import examples

RECORDED = [path.read_bytes() for path in (Path(__file__).parents[1] / "core/recorded").glob("*.ser")]

BEGINNINGS = st.sampled_from(
    [b"", b"{", b"[", b'"', b"!", b"\x80\x04", b"(", b"\x81", b"\xde", java.MAGIC, b"\x09\xf0\xc9\xf0"]
)
"""What makes a reader take a value up."""


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXT, inner, max_size=20),
    max_leaves=30,
)
"""What every serialisation can say."""


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A serialised value some bytes of which are others, or missing, or twice there."""
    value = draw(st.sampled_from(RECORDED) | PLAIN.map(pickle.dumps) | PLAIN.map(msgspec.msgpack.encode))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(value)))
        end = draw(st.integers(begin, min(len(value), begin + 8)))
        value = value[:begin] + draw(st.binary(max_size=4) | st.just(value[begin:end] * 2)) + value[end:]
    return value


@examples(600)
@given(value=st.tuples(BEGINNINGS, st.binary(max_size=200)).map(b"".join) | changed())
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    """Every reader ends with a value or with a reason, and every layout with what it makes of that."""
    for read in (forms.parse, java.parse, msgpack.parse, pickled.parse):
        with contextlib.suppress(BadValueError):
            read(value)
    assert forms.name(value)
    session_values.read(value, value)
    for layout in LAYOUTS.values():
        fields = layout.fields if layout.fields is not None else ("creationTime", "sessionAttr:x")
        opened = layout.open(dict.fromkeys(fields, value) or {STRING: value})
        assert opened.error is None


@examples(300)
@given(value=PLAIN)
def test_plain_data_is_what_it_was(value: object) -> None:
    """Plain data is the same again out of MessagePack and out of a pickle of any protocol."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert value == pickled.parse(pickle.dumps(value, protocol))
    assert value == msgpack.parse(msgspec.msgpack.encode(value))

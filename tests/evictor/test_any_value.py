"""Whatever stands in a cache, a worker can look at it, learn from it and take somebody out: nothing ends it."""

from __future__ import annotations

import json
import pickle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.bus.caches.cache_index import CacheKey, notes
from receiver.core.cached_marks import marks_of
from receiver.core.eviction import Eviction
from receiver.core.layouts import LAYOUTS, Layout
from receiver.core.verdict import Marks, means
from receiver.evictor.decisions import ByMarks, names_of
from tests.evictor.written import id_token

NAMES = [
    "AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata", "home_account_id", "client_id", "secret",
    "target", "cached_at", "homeAccountId", "idTokenClaims", "iss", "sub", "sid", "aud", "azp", "auth_time",
]  # fmt: skip

claims = st.dictionaries(
    st.sampled_from(["iss", "sub", "sid", "aud", "azp", "auth_time"]),
    st.one_of(st.text(max_size=3), st.integers(), st.none(), st.lists(st.text(max_size=2), max_size=2)),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["u1", "c1", "\ud800", "1e999", "nan", "9" * 400, "eyJ.eyJ.x", '{"a":', "{}", "openid x"]),
    claims.map(
        lambda found: id_token(
            "https://op.example", "u1", "c1", **{n: found[n] for n in found if n not in {"iss", "sub", "aud"}}
        )
    ),
    claims.map(json.dumps),
)
objects = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=2), inner, max_size=5)
    ),
    max_leaves=25,
)
sections = st.dictionaries(
    st.sampled_from(NAMES[:5]),
    st.dictionaries(
        st.text(max_size=2), st.dictionaries(st.sampled_from(NAMES[5:10]), objects, max_size=5), max_size=3
    ),
)


def written(value: Any) -> st.SearchStrategy[bytes]:
    """Some ways to write it."""
    text = json.dumps(value)
    return st.sampled_from(
        [
            text.encode(),
            json.dumps({"c": text, "d": {"e": value}}).encode(),
            b"\x81" + text.encode(),
            pickle.dumps([text]),
            text.encode()[:-2],
        ]
    )


EVICTION = Eviction(
    id="e", tenant="t", iss="https://op.example", sub="u1", sid="s", scope="session", logout_at=5, received_at=5
)


def stored(raw: bytes, layout: Layout) -> dict[str, bytes]:
    """A value as it is read from Redis."""
    if layout.fields is None:
        return {"creationTime": b"1", "sessionAttr:x": raw}
    return {layout.fields[0]: raw} if layout.fields else {}


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), (sections | objects).flatmap(written)))
def test_any_value(raw: bytes) -> None:
    """Every step on the way is taken without an error, and what is written back can be read again."""
    for layout in LAYOUTS.values():
        value = layout.open(stored(raw, layout))
        for sign_in in value.sign_ins:
            means(EVICTION, sign_in, accounts={"u1"}, whole_user=True)
            marks_of(sign_in, ["https://op.example"])
            names_of(sign_in, by_user=layout.account_links)
        notes(value.sign_ins, CacheKey("web", "key"))
        marks = {sign_in: Marks(9, 9) for sign_in in value.sign_ins}
        ByMarks(key="key", marks=marks, remembered={}, logouts_missed=True).decisions(value)
        for ended in ([], list(value.holders), list(value.holders)[:1]):
            change = layout.without(value, ended)
            if change.new is not None:
                again = layout.open(stored(change.new, layout))
                assert again.readable or not value.readable
                assert not set(again.holders) & set(ended)
        assert value.error is None

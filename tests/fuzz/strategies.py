"""What the property tests draw from: any JSON, and values close enough to good ones to matter."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from tests.fuzz.oracle import EVENT
from tests.support.clock import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

THOROUGH = 10
"""How many times more examples the thorough profile plays."""


def examples(number: int) -> Callable[[Any], Any]:
    """Play this many examples, or many more in the `thorough` profile. No deadline: the machine is shared."""
    thorough = settings.get_current_profile_name() == "thorough"
    return settings(max_examples=number * (THOROUGH if thorough else 1), deadline=None)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "\ud800", "\x00", "x" * 512, "x" * 513, "logout+jwt", "c1", EVENT])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
"""Any JSON value, NaN and lone surrogates included, as Python's encoder writes them."""


def dates(*limits: int) -> st.SearchStrategy[Any]:
    """NumericDates on and beside these limits, counted from now, and things that are none."""
    edges = [NOW + limit + nudge for limit in limits for nudge in (-1, -0.5, 0, 0.5, 1)]
    strange = [0, -1, 253402300799, 253402300800, 1e308, 10**40, True, None, str(NOW), float("nan")]
    return st.sampled_from(edges) | st.sampled_from(strange)


bad_names: st.SearchStrategy[Any] = st.sampled_from(["", None, 5, [], {}, ["u1"], "x" * 513, "a\nb", "\x85", "\ud800"])
names = bad_names | st.sampled_from(["u1", "x" * 512, "é", "\U0001f600"])
audiences = st.sampled_from(["c1", "c2", "c1x", ["c1"], ["x", "c2"], ["x"], [], [["c1"]], ["c1", 5], {"c1": 1}, None])
no_objects: list[Any] = [None, True, "{}", [], 0]
events: st.SearchStrategy[Any] = st.sampled_from(
    [{EVENT: {}}, {EVENT: {"x": 1}}, {EVENT: {}, "revoke_offline_access": True}]
    + [{EVENT: value} for value in no_objects]
    + [{}, [EVENT], EVENT, None, {EVENT.replace("http:", "https:"): {}}]
)


@st.composite
def some_of(draw: st.DrawFn, members: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """At most two members: with more, hardly a token would be left to accept."""
    names = draw(st.lists(st.sampled_from(sorted(members)), max_size=2, unique=True))
    return {name: draw(members[name]) for name in names}


def header_changes(issued: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Members of a header, changed.

    Args:
        issued: Key ids the OP publishes.
    """
    return some_of(
        {
            "alg": st.sampled_from(["RS256", "ES256", "EdDSA", "none", "HS256", "es256", "RS512", 1, None])
            | json_values,
            "kid": st.sampled_from([*issued, None, "", "x" * 9000]) | json_values,
            "typ": st.sampled_from(["JWT", "LOGOUT+JWT", "application/logout+jwt", "at+jwt", "", None]) | json_values,
            "cty": st.just("JWT"),
            "crit": st.just(["exp"]),
            "b64": st.booleans(),
            "jwk": json_values,
            "x5t": st.just("x"),
        },
    )


claim_changes = some_of(
    {
        "iss": st.sampled_from(["https://lax.example", "https://strict.example", "https://lax.example/"]) | json_values,
        "aud": audiences | json_values,
        "iat": dates(-660, 0, 60) | json_values,
        "exp": dates(-60, 600) | json_values,
        "nbf": dates(0, 60) | json_values,
        "sub": names | json_values,
        "sid": names | json_values,
        "jti": bad_names | st.builds(lambda: uuid.uuid4().hex) | st.builds(lambda: uuid.uuid4().hex * 16),
        "events": events | json_values,
        "nonce": json_values,
        "tid": json_values,
        "logout_reason": json_values,
        "another": json_values,
    },
)
absent = st.sampled_from(["iss", "aud", "iat", "exp", "sub", "sid", "jti", "events"]).map(lambda name: {name})
"""A claim left out."""

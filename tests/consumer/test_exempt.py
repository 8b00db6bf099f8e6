"""Which paths are not checked: never one that any layer could read as another."""

from __future__ import annotations

import posixpath
import unicodedata
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.consumer.exempt import Exempt
from receiver.errors import ConfigurationError

EXEMPT = Exempt(["/healthz", "/static/"])
DECODINGS = 4

dots = st.sampled_from([".", "..", "%2e%2e", ".%2E", "%252e%252e", "..;", ". .", "\uff0e\uff0e", "..%00", "...", ".. "])
slashes = st.sampled_from(["/", "//", "%2f", "%5c", "\\", "%252f", "/./", "\u2215"])
names = st.sampled_from(["static", "account", "app.css", "", "a b", "\u00e9"])
encode = st.sampled_from([lambda text: text, quote, lambda text: quote(text, safe="")])
below = st.builds(
    lambda parts, how: "/static/" + how("".join(left + right for left, right in parts)),
    st.lists(st.tuples(dots | names | st.text(max_size=4), slashes), max_size=6),
    encode,
)


def readings(path: str) -> set[str]:
    """What the layers of an app may make of a path: decoded any number of times, backslashes, forms, spaces."""
    found = {path}
    for _ in range(DECODINGS):
        found |= {unquote(text) for text in found}
    found |= {unicodedata.normalize("NFKC", text) for text in found}
    found |= {text.replace("\\", "/") for text in found}
    found |= {"/".join(part.partition(";")[0].rstrip(" \0") for part in text.split("/")) for text in found}
    return {posixpath.normpath(text) for text in found}


@given(below)
def test_exempt_path_has_one_reading(path: str) -> None:
    """Whatever is exempt below `/static/` stays below it, in every encoding."""
    if path in EXEMPT:
        assert all(reading == "/static" or reading.startswith("/static/") for reading in readings(path))


@pytest.mark.parametrize(
    "path",
    [
        "/static/../account", "/static/%2e%2e/account", "/static/%252e%252e/account", "/static/..", "/static/./x",
        "/static//account", "/static\\..\\account", "/static/..;/account", "/static/.. /account", "/healthz/",
        "/healthz/x", "/HEALTHZ", "/staticx", "/static", "healthz", "", "/static/a\n", "/static/\u00e9",
    ],
)  # fmt: skip
def test_checked(path: str) -> None:
    """Dot segments, other spellings and neighbours are checked."""
    assert path not in EXEMPT


@pytest.mark.parametrize("path", ["/healthz", "/static/", "/static/app.css", "/static/a-b/.well-known/x..y@2x (1).png"])
def test_exempt(path: str) -> None:
    """Exactly the one path, and what lies below the other."""
    assert path in EXEMPT


@pytest.mark.parametrize("paths", ["/static/", ["static/"], [""], [None]])
def test_wrong_option(paths: object) -> None:
    """One text in place of a list would exempt every path with its letters; a path begins with a slash."""
    with pytest.raises(ConfigurationError, match="exempt"):
        Exempt(paths)  # type: ignore[arg-type]

"""docs/frameworks.md: its options and layouts are the ones there are, its lines run."""

from __future__ import annotations

import pytest

from receiver.consumer.checkpoint import MARKER
from receiver.consumer.flask import EXTENSION
from receiver.consumer.health import STALE_AFTER_S
from receiver.consumer.knowledge import PAUSE_S
from receiver.consumer.options import Options
from receiver.consumer.questions import TIMEOUT_S
from receiver.consumer.session_layouts import ACCOUNT_KEYS, CLAIMS_KEYS, INNER_KEYS
from tests.docs.pages import blocks, names, read, rows, section

PAGE = read("frameworks.md")
FLASK, DJANGO, STARLETTE, AIOHTTP = blocks(PAGE, "python")


def test_options_are_the_ones_there_are() -> None:
    """The table has every option, and no other."""
    assert set(Options.__annotations__) == {names(row[0])[0] for row in rows(section(PAGE, "Options"))}


def test_layouts_are_the_ones_there_are() -> None:
    """The table has every session key looked at, the text every inner one."""
    layouts = section(PAGE, "Where the claims are")

    assert set(CLAIMS_KEYS) == {key for row in rows(layouts) for key in names(row[1])}
    assert set(INNER_KEYS) | {MARKER} <= set(names(layouts))
    assert set(ACCOUNT_KEYS) <= set(names(section(PAGE, "Options")))


def test_seconds_are_the_ones_there_are() -> None:
    """The page tells the limits the code has."""
    text = " ".join(section(PAGE, "When Redis is away").split())

    assert f"heard for {STALE_AFTER_S:g} s" in text
    assert "asked again for a second" in text
    assert 1.0 == PAUSE_S
    assert f"({TIMEOUT_S:g} s)" in text


@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
@pytest.mark.parametrize("block", [FLASK, DJANGO, STARLETTE, AIOHTTP], ids=["flask", "django", "starlette", "aiohttp"])
def test_lines_run(block: str) -> None:
    """Every block runs as shown; setting up reaches for no Redis."""
    defined: dict[str, object] = {"__name__": "portal"}
    exec(compile(block, "docs/frameworks.md", "exec"), defined)  # noqa: S102  # our own page
    extensions = getattr(defined.get("app"), "extensions", {EXTENSION: True})

    assert EXTENSION in extensions

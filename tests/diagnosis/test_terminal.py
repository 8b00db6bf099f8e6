"""What may reach a terminal."""

from __future__ import annotations

import json

import pytest

from receiver.diagnosis.terminal import MAX_SHOWN_CHARS, dump, fit, mark, plain, show


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain § \u2013 ✓ →", "plain § \u2013 ✓ →"),
        ("\x1b[2J", "\\u001b[2J"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x7f\x9b\u202e\u2028", "\\u007f\\u009b\\u202e\\u2028"),
        ("\udc80é", "\\udc80\\u00e9"),
    ],
)
def test_unusual_characters_become_escapes(text: str, expected: str) -> None:
    """ASCII and our own signs pass; everything else is an escape on the same line."""
    assert expected == plain(text)


def test_values_are_json_and_short() -> None:
    """A value is shown as JSON, in ASCII, and cut."""
    assert '{"a": [1, null, "\\u00e9\\u007f"]}' == show({"a": [1, None, "é\x7f"]})
    assert MAX_SHOWN_CHARS == len(show("x" * 10_000))


def test_json_output_is_safe_too() -> None:
    """JSON escapes what it must not, DEL included, and reads back the same."""
    text = dump({"a": "\x7f\x1b"})

    assert not set("\x7f\x1b") & set(text)
    assert {"a": "\x7f\x1b"} == json.loads(text)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "✓ §1 \u2013 ok"),
        ("ascii", "+ s1 - ok"),
        ("latin-1", "+ s1 - ok"),
        (None, "+ s1 - ok"),
        ("?", "+ s1 - ok"),
    ],
)
def test_signs_fit_the_encoding(encoding: str | None, expected: str) -> None:
    """A terminal that lacks our signs gets plain ones."""
    assert expected == fit("✓ §1 \u2013 ok", encoding)


def test_colours_only_on_request() -> None:
    """Without colours there is no escape sequence at all."""
    marks = {"ok": ("✓", "32")}

    assert "✓" == mark("ok", marks, colours=False)
    assert "\x1b[32m✓\x1b[0m" == mark("ok", marks, colours=True)

"""Which tests are about which script, and which of its mutants may live."""

from __future__ import annotations

TESTS = {
    "mark": ["tests/evictor/test_marks.py"],
    "part_date": ["tests/evictor/test_marks.py"],
    "lease": ["tests/ingress/test_lease.py"],
}
"""Script to tests, which are to be few and fast."""

ARGUED: dict[tuple[str, int, str], str] = {}
"""Script, line and change to the reason why no test can notice it, or why none has to."""

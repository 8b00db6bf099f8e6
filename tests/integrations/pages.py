"""Pages that an app may show to a browser that was refused, each in a form of its own."""

from __future__ import annotations

import gzip

LINK = '<a href="https://op.example/authorize?client_id=a&amp;response_type=code">Ren\xe9, sign in</a>'

PAGES: dict[str, tuple[bytes, str, dict[str, str]]] = {
    "utf-8": (LINK.encode(), "text/html; charset=utf-8", {}),
    "latin-1": (LINK.encode("latin-1"), "text/html; charset=iso-8859-1", {}),
    "no utf-8": (LINK.encode("latin-1"), "text/html; charset=utf-8", {}),
    "unknown": (LINK.encode(), "text/html; charset=x-unknown", {}),
    "compressed": (gzip.compress(LINK.encode(), mtime=0), "text/html; charset=utf-8", {"Content-Encoding": "gzip"}),
}
"""Body, `Content-Type` and further headers."""


def expected(form: str) -> bytes:
    """The page as the browser is sent it: changed where it can be read, and else as it was."""
    body = PAGES[form][0]
    return body.replace(b"code", b"code&amp;prompt=login") if form in {"utf-8", "latin-1"} else body

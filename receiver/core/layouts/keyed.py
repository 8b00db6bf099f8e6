"""Keys named by a template after the user or the session: the value there is never read, and is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from receiver.core.layouts.layout import Layout, Raw, Value

TEMPLATE_FIELDS = frozenset({"account", "client_id", "iss", "sid", "sub", "tenant"})
"""What the template may name, in braces."""


@dataclass(frozen=True, kw_only=True)
class Keyed(Layout):
    """A value of any type. The template is the app's own word that exactly this key is the user's."""

    fields: ClassVar[tuple[str, ...] | None] = ()
    swaps: ClassVar[bool] = False
    is_read: ClassVar[bool] = False

    def read(self, raw: Raw) -> Value:
        """Nothing is known but that it is there."""
        # Not readable and not empty: it must go, and nothing can be learnt from it.
        return Value(raw, {}, readable=False)

    def bears_signature(self, _raw: Raw) -> bool:
        """Yes: it is at its key."""
        return True

"""`Check`: one line of `receiver doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "failed", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one look at the set-up found.

    Attributes:
        area: `redis`, `cache` and a name, `api`, or the name of a tenant.
        name: Which check, stable within its area.
        outcome: `failed` means logouts are refused or lost; `warning` that they may be; `note` is information.
        text: What was found.
        fix: What to do; empty when nothing needs doing.
    """

    area: str
    name: str
    outcome: Outcome
    text: str
    fix: str = ""


class Area:
    """Makes the checks of one area.

    Args:
        name: `redis`, `cache` and a name, `api`, or the name of a tenant.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def ok(self, name: str, text: str) -> Check:
        """All is well."""
        return Check(area=self._name, name=name, outcome="ok", text=text)

    def failed(self, name: str, text: str, fix: str) -> Check:
        """Logouts are refused or lost."""
        return Check(area=self._name, name=name, outcome="failed", text=text, fix=fix)

    def warning(self, name: str, text: str, fix: str) -> Check:
        """Logouts may be refused or lost, or cannot be judged from here."""
        return Check(area=self._name, name=name, outcome="warning", text=text, fix=fix)

    def note(self, name: str, text: str, fix: str = "") -> Check:
        """Information."""
        return Check(area=self._name, name=name, outcome="note", text=text, fix=fix)

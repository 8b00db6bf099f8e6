"""`Finding`: what one rule says of a token, and the list they are collected in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from receiver.diagnosis.advice import advice
from receiver.errors import LogoutTokenError, ReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from receiver.errors import Code

T = TypeVar("T")

Outcome = Literal["passed", "failed", "skipped"]

SECTIONS: Mapping[str, str] = {
    "shape": "RFC 7515 §7.1",
    "encryption": "BCL §2.6 step 1",
    "encoding": "RFC 7515 §2",
    "header": "RFC 7515 §4",
    "crit": "RFC 7515 §4.1.11",
    "alg": "RFC 7515 §4.1.1",
    "header_types": "RFC 7515 §4.1",
    "accepted_alg": "BCL §2.6 step 3",
    "typ": "BCL §2.4, RFC 8725 §3.11",
    "payload": "RFC 7519 §7.2",
    "issuer": "BCL §2.6 step 4",
    "path": "BCL §2.6 step 4",
    "audience": "BCL §2.6 step 4",
    "client_alg": "BCL §2.6 step 3",
    "iat": "BCL §2.4, §4",
    "exp": "BCL §2.4, §2.6 step 4",
    "nbf": "RFC 7519 §4.1.5",
    "events": "BCL §2.6 step 6",
    "nonce": "BCL §2.6 step 7",
    "subject": "BCL §2.6 step 5",
    "jti": "BCL §2.4",
    "repeat": "BCL §2.6 step 8",
    "jwks": "RFC 7517 §5",
    "key": "RFC 7515 §4.1.4",
    "key_issuer": "Entra, signing key issuer",
    "signature": "BCL §2.6 step 2",
    "other": "BCL §2.6",
}
"""Every rule, in the order it is listed, and where it is written. The names are API: they appear in `--json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says.

    Attributes:
        rule: Its name, a key of `SECTIONS`.
        outcome: `skipped` when it could not be asked, or does not apply.
        text: What was seen, what is wrong, or why it was not asked.
        code: The stable code, when it failed.
        advice: What the OP or the operator should change, when it failed.
    """

    rule: str
    outcome: Outcome
    text: str
    code: Code | None = None
    advice: str | None = None

    @property
    def section(self) -> str:
        """Where the rule is written."""
        return SECTIONS[self.rule]


class Findings:
    """The findings so far. Asking goes on after a failure; that is the point."""

    def __init__(self) -> None:
        self._all: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all)

    def ask(self, rule: str, check: Callable[[], T], seen: str = "", *, holds: str = "") -> T | None:
        """Ask one rule.

        Args:
            rule: Its name.
            check: The core's own function.
            seen: What the rule looked at, safe to print.
            holds: What to say in place of `seen` when the rule holds.

        Returns:
            What the function returned; None when the rule failed.
        """
        try:
            value = check()
        except LogoutTokenError as error:
            self.fail(rule, error, seen)
            return None
        self._all.append(Finding(rule=rule, outcome="passed", text=holds or seen))
        return value

    def fail(self, rule: str, error: ReceiverError, seen: str = "") -> None:
        """Note that a rule failed with this error."""
        text = f"{error.message} [{seen}]" if seen else error.message
        self._all.append(
            Finding(rule=rule, outcome="failed", text=text, code=error.code, advice=advice(rule, error.code))
        )

    def skip(self, rule: str, why: str) -> None:
        """Note that a rule was not asked."""
        self._all.append(Finding(rule=rule, outcome="skipped", text=why))

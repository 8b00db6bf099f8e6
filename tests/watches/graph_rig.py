"""What the tests of the directory's watch share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.graph import DIRECTORY

if TYPE_CHECKING:
    import pytest

INTERVAL_S, SWEEP_S = 30.0, 300.0
REVOKED, DISABLED, DELETED = "sessions revoked", "account disabled", "account deleted"
LONG_AGO = 3600 * 24
DEADLINE_S = 60.0


def account(user: str) -> str:
    """MSAL's `home_account_id`."""
    return f"{user}.{DIRECTORY}"


def names(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The watcher's log lines."""
    return [one.message for one in caplog.records if one.message.startswith(("graph.", "input."))]

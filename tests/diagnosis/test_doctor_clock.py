"""`receiver doctor` on an OP's clock."""

from __future__ import annotations

import pytest

from receiver.diagnosis.op import clock_ahead
from receiver.diagnosis.op_checks import OPFacts, check_op
from receiver.ops.tenant_settings import TenantSettings
from tests.support.clock import NOW


@pytest.mark.parametrize(
    ("ahead_s", "outcome", "text"),
    [
        (0.4, "ok", "within a second"),
        (-20.0, "ok", "20 s behind"),
        (45.0, "warning", "45 s ahead of"),
        (-45.0, "warning", "45 s behind"),
        (75.0, "failed", "75 s ahead of"),
        (None, "note", "cannot be seen"),
    ],
)
def test_clock(ahead_s: float | None, outcome: str, text: str) -> None:
    """A difference above half of `clock_skew_s` (60) warns, one above it fails."""
    tenant = TenantSettings(name="t1", issuer="https://op.example", client_ids=["c1"]).to_tenant()

    checks = check_op(OPFacts(tenant=tenant, metadata=None, jwks=None, ahead_s=ahead_s))

    check = next(check for check in checks if check.name == "clock")
    assert outcome == check.outcome
    assert text in check.text


@pytest.mark.parametrize(
    ("date", "age", "expected"),
    [
        ("Fri, 20 Nov 2026 12:00:10 GMT", None, 10.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", "3600", 0.0),
        ("soon", None, None),
        ("Fri, 20 Nov 2026 12:00:10 GMT", "old", None),
        (None, None, None),
    ],
)
def test_clock_from_the_date_header(date: str | None, age: str | None, expected: float | None) -> None:
    """`Date`, plus the `Age` a cache in between adds, is the OP's clock; anything odd is not."""
    assert expected == clock_ahead(date, age, NOW)


@pytest.mark.parametrize(("ahead_s", "cure"), [(75.0, "outbox"), (301.0, "refused"), (-75.0, "refused")])
def test_what_becomes_of_its_logouts(ahead_s: float, cure: str) -> None:
    """Up to `max_ahead_s` ahead they wait until they are valid; else they are refused."""
    tenant = TenantSettings(name="t1", issuer="https://op.example", client_ids=["c1"]).to_tenant()

    checks = check_op(OPFacts(tenant=tenant, metadata=None, jwks=None, ahead_s=ahead_s))

    assert cure in next(check for check in checks if check.name == "clock").fix

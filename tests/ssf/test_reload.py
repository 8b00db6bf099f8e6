"""Settings that change while a receiver runs: what security events do not follow is said."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.ingress.parts import noticing_sources
from receiver.ops.settings import Settings


def settings(**tenants: dict[str, Any] | None) -> Settings:
    """Tenants by name, each with its section `ssf` or none."""
    return Settings(
        tenants=[
            {"name": name, "issuer": f"https://{name}.example", "client_ids": ["c1"], "ssf": ssf}
            for name, ssf in tenants.items()
        ]
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (settings(a={}, b=None), []),
        (settings(a={"stream_id": "s"}, b=None), ["a"]),
        (settings(a=None, b={}), ["a", "b"]),
        (settings(b=None), ["a"]),
        (settings(a={}, b=None, c=None), []),
    ],
    ids=["nothing", "changed", "off and on", "gone", "a tenant without"],
)
def test_change_that_needs_a_restart(now: Settings, expected: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Tenants whose section has changed, come or gone since the start are named, once they are taken over."""
    take_over = noticing_sources(settings(a={}, b=None))(now)
    assert [] == caplog.records

    take_over()
    assert expected == [
        name for line in caplog.records for name in line.fields["tenants"]  # type: ignore[attr-defined]
    ]  # fmt: skip

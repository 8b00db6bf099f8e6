"""`receiver doctor` asked about one OP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.diagnosis import doctor
from tests.diagnosis.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.diagnosis.checks import Check
    from tests.support.op import OP


async def examined(op: OP, **tenant: Any) -> Mapping[str, Check]:
    """The checks of tenant t1 at this OP, by name."""
    checks = await doctor.examine(settings_for(op, **tenant))
    return {check.name: check for check in checks if check.area == "t1"}

"""The chart with an evictor: values, and the parts of what they render to."""

from typing import Any

from rendered import (
    MINIMAL,
    Object,
    with_values,
)

CACHES = [{"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"}]


def with_evictor(config: Object | None = None, **evictor: Any) -> Object:
    """The least the chart asks for with an evictor, and these."""
    merged = MINIMAL["config"] | {"caches": CACHES} | (config or {})
    return with_values(config=merged, evictor={"enabled": True} | evictor)

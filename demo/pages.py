"""The demo's HTML: Jinja templates, escaped, one plain style, no script or font from elsewhere."""

from __future__ import annotations

from functools import cache

import jinja2


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.PackageLoader("demo"), autoescape=True, undefined=jinja2.StrictUndefined)


def render(template: str, **values: object) -> str:
    """The page `templates/<template>.html` with these values."""
    return _environment().get_template(f"{template}.html").render(values)

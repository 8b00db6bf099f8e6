"""The tables of docs/configuration.md, made from the settings; run it to bring the page up to date.

`python -m tests.docs.configuration_table`, from the root of the repository.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from receiver.core.tenants import Tenant
from receiver.ops.settings import ENV_PREFIX, Settings
from tests.docs.pages import DOCS

BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
PAGE = DOCS / "configuration.md"

HEAD = "| Key | Environment | Type | Default | Meaning |\n|---|---|---|---|---|\n"
TENANT_HEAD = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n"

LISTED = {"TenantSettings": "tenants", "CacheSettings": "caches", "string": "text", "number": "numbers"}
"""What a list is called by what is in it."""

SHARED = {"RedisSettings": "redis"}
"""Sections that stand elsewhere as well, by the name of the one that is described."""


def tables() -> str:
    """Every setting, one table for each section."""
    schema = Settings.model_json_schema()
    sections = {name: _definition(schema, part) for name, part in schema["properties"].items()}
    parts = []
    for name, definition in sections.items():
        if definition is None:
            continue
        rows = [
            _row(f"{name}.{key}", f"{ENV_PREFIX}{name}__{key}".upper(), part)
            for key, part in definition["properties"].items()
        ]
        parts.append(f"### `{name}`\n\n{definition['description']}\n\n{HEAD}{''.join(rows)}")
    top = [
        _row(name, f"{ENV_PREFIX}{name}".upper(), schema["properties"][name])
        for name, definition in sections.items()
        if definition is None
    ]
    parts.append(f"### Top level\n\nTenants, and the short form for a single one.\n\n{HEAD}{''.join(top)}")
    parts.append(_part_table(schema, "CacheSettings", "caches[]"))
    parts.append(_tenant_table(schema))
    parts.append(_part_table(schema, "RevocationSettings", "tenants[].revocation"))
    parts.append(_part_table(schema, "RevocationClientSettings", "tenants[].revocation.clients.<client id>"))
    parts.append(_part_table(schema, "SSFSettings", "tenants[].ssf"))
    parts.append(_part_table(schema, "AccessSettings", "tenants[].ssf.access"))
    parts.append(_part_table(schema, "GraphSettings", "tenants[].graph"))
    parts.append(_part_table(schema, "KeycloakSettings", "tenants[].keycloak"))
    parts.append(_part_table(schema, "CommandSettings", "tenants[].commands"))
    parts.append(_part_table(schema, "GlobalRevocationSettings", "tenants[].global_revocation"))
    parts.append(_part_table(schema, "FrontChannelSettings", "tenants[].frontchannel"))
    return "\n".join(parts)


def _definition(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any] | None:
    return schema["$defs"][_kind(part)] if "$ref" in part else None


def _kind(reference: dict[str, Any]) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _tenant_table(schema: dict[str, Any]) -> str:
    definition = schema["$defs"]["TenantSettings"]
    strict = {f.name: f.default for f in fields(Tenant) if f.default is not MISSING}
    rows = []
    for key, part in definition["properties"].items():
        default = strict.get(key) if part.get("default") is None else part["default"]
        shown = "required" if key in definition["required"] else _default(default)
        rows.append(f"| `{key}` | {_type(part)} | {shown} | {_text(part['description'])} |\n")
    return f"### `tenants[]`\n\n{definition['description']}\n\n{TENANT_HEAD}{''.join(rows)}"


def _part_table(schema: dict[str, Any], name: str, place: str) -> str:
    definition = schema["$defs"][name]
    required = definition.get("required", ())
    rows = [
        f"| `{key}` | {_type(part)} | {'required' if key in required else _default(part['default'])} | "
        f"{_text(part['description'])} |\n"
        for key, part in definition["properties"].items()
    ]
    return f"### `{place}`\n\n{definition['description']}\n\n{TENANT_HEAD}{''.join(rows)}"


def _row(key: str, variable: str, part: dict[str, Any]) -> str:
    shown = _default(part.get("default"))
    return f"| `{key}` | `{variable}` | {_type(part)} | {shown} | {_text(part['description'])} |\n"


def _type(part: dict[str, Any]) -> str:
    options = [option for option in part.get("anyOf", [part]) if option.get("type") != "null"]
    [option] = options
    if "$ref" in option:
        return f"as the section `{SHARED[_kind(option)]}`" if _kind(option) in SHARED else "section, below"
    if "enum" in option:
        return " or ".join(f"`{value}`" for value in option["enum"])
    match option.get("type"):
        case "array":
            inner = option["items"]
            text = f"list of {LISTED[_kind(inner)] if '$ref' in inner else LISTED[inner['type']]}"
        case "object":
            text = "map of sections, below" if "$ref" in option["additionalProperties"] else "map of lists"
        case "string":
            text = {"path": "path", "password": "secret"}.get(option.get("format", ""), "text")
        case kind:
            text = {"integer": "integer", "number": "number", "boolean": "boolean"}[str(kind)]
    return text + _bounds(option)


def _bounds(option: dict[str, Any]) -> str:
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    found = [f"{sign} {_number(option[name])}" for name, sign in limits.items() if name in option]
    return f", {', '.join(found)}" if found else ""


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, frozenset):
        return ", ".join(f"`{item}`" for item in sorted(value)) or "empty"
    if isinstance(value, list):
        return ", ".join(f"`{_number(item)}`" for item in value) or "empty"
    return f"`{_number(value)}`" if isinstance(value, int | float) else f"`{value}`"


def _number(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _text(description: str) -> str:
    return description.replace("|", "\\|")


def updated_page() -> str:
    """The page with its tables replaced by the current ones."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(updated_page(), encoding="utf-8")

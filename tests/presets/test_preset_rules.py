"""What each preset sets: no more than its OP needs, and no more than it names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.presets import PRESETS
from receiver.core.tenants import Tenant
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwks import parse_key_set
from receiver.errors import LogoutTokenError
from receiver.ops.tenant_settings import TenantSettings
from tests.presets.shapes import SHAPES
from tests.support.clock import NOW
from tests.support.parsed import parse_jws

if TYPE_CHECKING:
    from tests.presets.shape import Shape

STRICT = {member.name: member.default for member in dataclasses.fields(Tenant)}
FIELDS = [(preset, name) for preset, fields in PRESETS.items() for name in fields]


def _tenant(preset: str, **settings: Any) -> Tenant:
    return TenantSettings(
        name="t1", issuer="https://op.example", client_ids=["c1"], preset=preset, **settings
    ).to_tenant()


def _another(value: object) -> Any:
    match value:
        case bool():
            return not value
        case float():
            return value + 1
        case _:
            return ["ES512"]


@pytest.mark.parametrize(("preset", "name"), FIELDS)
def test_preset_is_in_force_until_overridden(preset: str, name: str) -> None:
    """What a preset sets holds, differs from the strict default, and gives way to the tenant's own setting."""
    value = PRESETS[preset][name]
    other = _another(value)

    plain = getattr(_tenant(preset), name)
    overridden = getattr(_tenant(preset, **{name: other}), name)

    assert plain == (frozenset(value) if isinstance(value, tuple) else value)
    assert plain != STRICT[name]
    assert overridden == (frozenset(other) if isinstance(other, list) else other)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_changes_only_what_it_names(preset: str) -> None:
    """Every other rule of the tenant stays strict."""
    ours, strict = _tenant(preset), _tenant("generic")

    differing = {n for n in STRICT if getattr(ours, n) != getattr(strict, n)}

    assert set(PRESETS[preset]) == differing


LOOSENING = [(preset, name) for preset, name in FIELDS if name in {"require_exp", "algorithms"}]


@pytest.mark.parametrize(("preset", "name"), LOOSENING)
def test_each_loosening_is_needed(preset: str, name: str) -> None:
    """Some version of the OP sends a token that the strict default would refuse."""

    def accepted(shape: Shape, **settings: Any) -> bool:
        tenant = TenantSettings(**shape.tenant(**settings)).to_tenant()
        try:
            lt.accept(parse_jws(shape.token(NOW)), tenant, parse_key_set({"keys": [shape.published()]}), NOW)
        except LogoutTokenError:
            return False
        return True

    strict = STRICT[name]
    setting = sorted(strict) if isinstance(strict, frozenset) else strict
    shapes = [shape for shape in SHAPES if shape.preset == preset and not shape.settings]

    assert all(accepted(shape) for shape in shapes)
    assert not all(accepted(shape, **{name: setting}) for shape in shapes)


def test_every_preset_has_a_shape() -> None:
    """No preset is without a token of its OP, and no token without its preset."""
    assert PRESETS.keys() == {shape.preset for shape in SHAPES if not shape.settings}


def test_entra_is_asked_for_keys_every_five_minutes_at_most() -> None:
    """As it asks its clients, for an unknown `kid`."""
    assert 300.0 == _tenant("entra").key_cooldown_s

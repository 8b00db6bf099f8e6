"""The ways the programs are run, and the caches the evictor is given for them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Variant(NamedTuple):
    """How a program is run: MSAL Node's version, the OP's shape, with our piece or not, with the evictor or not."""

    version: str
    shape: str
    piece: bool
    evictor: bool

    @property
    def name(self) -> str:
        """Begins its keys in Redis."""
        parts = (self.version, self.shape, "piece" if self.piece else "", "evictor" if self.evictor else "")
        return "node" + "-".join(part for part in parts if part)


UNCHANGED = [Variant("7", "entra", piece=False, evictor=True), Variant("2", "oidc", piece=False, evictor=True)]
PIECE_ALONE = [Variant("7", "oidc", piece=True, evictor=False), Variant("2", "entra", piece=True, evictor=False)]
BOTH = [Variant("7", "entra", piece=True, evictor=True)]
"""Between them each version meets each shape of OP."""

SHARED_UNCHANGED = [Variant(version, "entra", piece=False, evictor=True) for version in ("7", "2")]
SHARED_PIECE = [Variant("7", "entra", piece=True, evictor=True), Variant("2", "oidc", piece=True, evictor=True)]


def caches() -> list[dict[str, Any]]:
    """As the example's README configures them."""
    apps = {variant.name for variant in (*UNCHANGED, *BOTH)}
    shared = {f"shared-{variant.name}" for variant in (*SHARED_UNCHANGED, *SHARED_PIECE)}
    tokens = [{"name": name, "layout": "msal-node", "prefix": f"{name}:msal:"} for name in sorted(apps | shared)]
    return tokens + [
        {"name": f"{name}-sess", "layout": "express-session", "prefix": f"{name}:sess:"} for name in sorted(apps)
    ]

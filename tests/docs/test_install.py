"""What the pages say about installing works today, and their first settings are settings."""

from __future__ import annotations

import re

import msal
import pytest
import yaml

from receiver.ops.settings import Settings
from tests.docs.pages import ROOT, blocks, read

PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "clients", ROOT / "helm")
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    if "node_modules" not in path.parts and path.name != "CHANGELOG.md"
)
REQUIREMENTS = sorted(path for path in (ROOT / "examples").rglob("requirements*.txt") if ".venv" not in path.parts)


def test_this_package_is_installed_from_a_checkout() -> None:
    """No page and no list of requirements takes it from a package index, where it is not."""
    lines = [(path, line) for path in [*PAGES, *REQUIREMENTS] for line in path.read_text(encoding="utf-8").splitlines()]
    by_name = re.compile(r"pip install [^#`]*(?<![\w/-])logout-receiver(?![\w-])|^logout-receiver\b")
    assert [] == [(path.name, line) for path, line in lines if by_name.search(line)]
    assert REQUIREMENTS
    assert any("pip install '.[server]'" in line for _, line in lines)


def test_settings_in_the_readme_are_settings() -> None:
    """The file for service and worker is one, as it stands there."""
    [text] = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "yaml")
    settings = Settings(**yaml.safe_load(text))
    assert (["main"], ["web", "portal"]) == ([t.name for t in settings.tenants], [c.name for c in settings.caches])


@pytest.mark.parametrize("issuer", ["https://op.invalid", "https://op.invalid/"])
def test_msal_refuses_an_issuer_without_a_path(issuer: str) -> None:
    """As docs/limits.md says; the receiver takes it. When MSAL does, too, the page has to be changed."""
    with pytest.raises(ValueError, match="segment in a path"):
        msal.ConfidentialClientApplication("c", client_credential="s", oidc_authority=issuer)
    tenant = Settings(tenants=[{"name": "t1", "issuer": issuer, "client_ids": ["c"]}]).tenants[0].to_tenant()
    assert issuer == tenant.issuer
    assert "## MSAL Python needs an issuer with a path" in read("limits.md")

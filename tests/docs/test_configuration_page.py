"""docs/configuration.md is the settings there are, and its example works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.cli import main
from receiver.ops.settings import load
from tests.docs.chart_config_schema import SCHEMA, updated_schema
from tests.docs.configuration_table import PAGE, updated_page
from tests.docs.pages import blocks, read, section

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_tables_are_current() -> None:
    """The tables are those the settings make; `python -m tests.docs.configuration_table` rewrites them."""
    assert updated_page() == PAGE.read_text(encoding="utf-8")


def test_chart_schema_is_current() -> None:
    """The chart refuses what the settings refuse; `python -m tests.docs.chart_config_schema` rewrites its schema."""
    assert updated_schema() == SCHEMA.read_text(encoding="utf-8")


def test_example_is_a_good_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example file passes `receiver config check`."""
    [example] = blocks(section(read("configuration.md"), "An example"), "yaml")
    file = tmp_path / "receiver.yaml"
    file.write_text(example, encoding="utf-8")

    assert 0 == main(["config", "check", "--config", str(file)]), capsys.readouterr().err
    assert ["main", "partners"] == [tenant.name for tenant in load(file).all_tenants]


def test_two_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment shown for one tenant is a whole configuration."""
    [example] = blocks(section(read("configuration.md"), "One tenant"), "sh")
    for line in example.splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)

    assert 0 == main(["config", "check"])


def test_command_line_examples_are_understood() -> None:
    """Each `--set` shown is read as the page says."""
    settings = load(None, ["public.port=8081", "client_ids=[portal, orders]", "issuer=https://op.example"])

    assert (8081, ["portal", "orders"]) == (settings.public.port, settings.client_ids)
    for option in ("--set public.port=8081", "--set 'client_ids=[portal, orders]'"):
        assert option in read("configuration.md")

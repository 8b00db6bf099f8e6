"""What the .NET examples and their READMEs say of themselves is so."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from receiver.consumer.reader import LOOKBACK_S
from tests.stacks.dotnet.mono_build import EXAMPLES, LISTENING, RECORDINGS, SHARED

if TYPE_CHECKING:
    from pathlib import Path

ROOT = EXAMPLES.parent
CORE = EXAMPLES / "aspnetcore"
CLASSIC = EXAMPLES / "aspnet"
FOLDER = CORE / "LogoutReceiver"
PROJECTS = [CORE / "Example.csproj", CLASSIC / "AspNetExample.csproj"]

RECORDED_AS = {
    "Microsoft.Identity.Client": "microsoft_identity_client",
    "Microsoft.Identity.Web": "microsoft_identity_web_token_cache",
    "Microsoft.Identity.Web.TokenCache": "microsoft_identity_web_token_cache",
    "Microsoft.Extensions.Caching.StackExchangeRedis": "microsoft_extensions_caching_stackexchangeredis",
    "StackExchange.Redis": "stackexchange_redis",
}

NO_CODE = re.compile(r'@"(?:[^"]|"")*"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
"""Texts, characters and comments of C#."""


def packages(project: Path) -> dict[str, str]:
    """Name and version of each."""
    references = ET.parse(project).iter("PackageReference")  # noqa: S314  # our own file
    return {reference.attrib["Include"]: reference.attrib["Version"] for reference in references}


def text(path: Path) -> str:
    """A file in one line."""
    return re.sub(r"\s+", " ", path.read_text())


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.parent.name)
def test_packages_have_exact_versions_and_are_those_of_the_recordings(project: Path) -> None:
    """The examples name the versions whose behaviour was recorded, and leave none open."""
    made_with = json.loads((RECORDINGS / "entra-two-apps.json").read_text())["made_with"]
    named = packages(project)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in named.values())
    assert {name: version for name, version in named.items() if name in RECORDED_AS} == {
        name: made_with[RECORDED_AS[name]] for name in RECORDED_AS if name in named
    }


def test_an_app_adds_one_line_and_a_folder() -> None:
    """The ASP.NET Core README counts the files and lines of the folder, and its line is the one in the app."""
    files = sorted(FOLDER.glob("*.cs"))
    lines = sum(len(file.read_text().splitlines()) for file in files)
    readme = text(CORE / "README.md")
    assert (
        f"Copy the folder `LogoutReceiver` ({len(files)} files, about {round(lines, -2):,} lines, no further package)"
        in readme
    )
    assert "and add one line" in readme
    calls = re.findall(r"\.AddLogoutReceiver\(", (CORE / "Program.cs").read_text())
    assert len(calls) == 1


def test_classic_aspnet_shares_the_files_and_adds_four_lines() -> None:
    """The classic project links the shared files of the other example, and its README's four lines are in the app."""
    project = ET.parse(CLASSIC / "AspNetExample.csproj")  # noqa: S314  # our own file
    linked = [item.attrib["Include"].replace("\\", "/") for item in project.iter("Compile")]
    shared = {f"../aspnetcore/LogoutReceiver/{name}.cs" for name in (*SHARED, *LISTENING)}
    assert {path for path in linked if "/LogoutReceiver/" in path} == shared
    assert all((CLASSIC / path).is_file() for path in linked)
    readme = text(CLASSIC / "README.md")
    assert len(shared) == 9
    assert "the nine files" in readme
    assert "the nine shared files" in text(CLASSIC / "LogoutReceiver.cs")
    assert "add four lines" in readme
    app = "".join((CLASSIC / name).read_text() for name in ("Startup.cs", "MsalClient.cs"))
    calls = ("SignOuts.Start(", "SignOuts.Refuse(", ".WithLegacyCacheCompatibility(", "services.AddLogoutReceiver(")
    assert [app.count(call) for call in calls] == [1, 1, 1, 1]


def test_they_acknowledge_by_the_receivers_own_script() -> None:
    """The script in the examples is that of the receiver, but for its comments."""
    ours = (ROOT / "receiver/bus/lua/acknowledge.lua").read_text()
    ours = "".join(line for line in ours.splitlines(keepends=True) if not line.lstrip().startswith("--"))
    found = re.search(r'Script = @"\n(.*?)";', (FOLDER / "Acknowledgements.cs").read_text(), re.DOTALL)
    assert found is not None
    assert found[1].strip() == ours.strip()


def test_they_look_back_as_far_as_the_python_consumer() -> None:
    """A sign-out published during a start is not missed in one language only."""
    assert f"LookbackSeconds = {LOOKBACK_S:.0f};" in (FOLDER / "EvictionStream.cs").read_text()


def test_the_classic_client_keeps_no_second_copy_of_refresh_tokens() -> None:
    """Only the switch that runs the app as it was leaves MSAL's second copy on."""
    assert ".WithLegacyCacheCompatibility(Settings.Unchanged)" in (CLASSIC / "MsalClient.cs").read_text()
    assert 'Read("LOGOUT_RECEIVER", "on") == "off"' in (CLASSIC / "Settings.cs").read_text()


@pytest.mark.parametrize(
    "file", sorted([*CORE.rglob("*.cs"), *CLASSIC.rglob("*.cs")]), ids=lambda file: str(file.relative_to(EXAMPLES))
)
def test_brackets_close(file: Path) -> None:
    """Every bracket outside strings, characters and comments is closed by its like."""
    code = NO_CODE.sub(" ", file.read_text())
    opened: list[str] = []
    for character in code:
        if character in "([{":
            opened.append(character)
        elif character in ")]}":
            assert opened
            assert opened.pop() + character in {"()", "[]", "{}"}
    assert opened == []

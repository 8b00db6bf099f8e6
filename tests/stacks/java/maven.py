"""Build the driver and the apps with Maven: once, and again only when a source has changed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.building import building

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "examples" / "java"
LISTENER = HERE.parents[2] / "clients" / "java"

OLD_MSAL4J = "1.17.2"
"""Replaces its memory by what it reads, as all did before 1.23; later ones add to it."""

SPRING_BOOTS = ("3.5.16", "4.0.9", "4.1.2")
"""The versions the starter is tried with; its page names them."""

DOWNLOAD_S = 400
"""Seconds the first build may take, which downloads everything."""


@building
def installed_listener() -> Path:
    """The modules of the listener, in Maven's local repository; their own tests are built and not run."""
    _build(LISTENER, _sources_of_the_listener(), "target/classpath.txt", "install", "-DskipTests")
    return LISTENER


def _sources_of_the_listener() -> list[Path]:
    return [path for module in LISTENER.glob("*/pom.xml") for path in (module, module.parent / "src")]


def classpath_of_tests(module: Path) -> str:
    """Of a module of the listener, with its tests."""
    return os.pathsep.join([str(module / "target" / "test-classes"), _classpath(module, "target/classpath.txt")])


@building
def classpath_of_driver(msal4j: str) -> str:
    """The driver with the msal4j the project names (`current`) or `OLD_MSAL4J`."""
    installed_listener()
    _build(HERE, [HERE / "src", *_sources_of_the_listener()], "target/classpath.txt")
    if msal4j == "current":
        return _classpath(HERE, "target/classpath.txt")
    file = f"target/classpath-{OLD_MSAL4J}.txt"
    if not (HERE / file).exists():
        maven(HERE, f"-Dmsal4j.version={OLD_MSAL4J}", "dependency:build-classpath", f"-Dmdep.outputFile={file}")
    return _classpath(HERE, file)


@building
def classpath_of_example() -> str:
    """The example app, as its own project builds it."""
    installed_listener()
    _build(EXAMPLE, [EXAMPLE / "src", *_sources_of_the_listener()], "target/classpath.txt")
    return _classpath(EXAMPLE, "target/classpath.txt")


@building
def classpath_of_example_on_3() -> str:
    """The example app with Spring Boot 3.5, changed as its page says."""
    return classpath_with(
        EXAMPLE,
        SPRING_BOOTS[0],
        ("<artifactId>spring-boot-starter-webmvc<", "<artifactId>spring-boot-starter-web<"),
        (
            "<groupId>org.springframework.boot</groupId>\n      <artifactId>spring-boot-starter-session-data-redis<",
            "<groupId>org.springframework.session</groupId>\n      <artifactId>spring-session-data-redis<",
        ),
        ("spring.session.data.redis.", "spring.session.redis."),
    )


@building
def classpath_with(project: Path, spring_boot: str, *replaced: tuple[str, str]) -> str:
    """An app built with another version of Spring Boot.

    Args:
        project: Its directory.
        spring_boot: The version of the parent of its project file.
        replaced: Texts of the project file or the app's properties, and what takes their place.
    """
    installed_listener()
    copy = project / "target" / f"spring-boot-{spring_boot}"
    shutil.copytree(project / "src", copy / "src", dirs_exist_ok=True)
    version = re.compile(r"(?<=<artifactId>spring-boot-starter-parent</artifactId>\n    <version>)[^<]+")
    written, changes = version.subn(spring_boot, (project / "pom.xml").read_text())
    assert changes == 1
    (copy / "pom.xml").write_text(written)
    for old, new in replaced:
        files = [copy / "pom.xml", *copy.glob("src/main/resources/*.properties")]
        [file] = [file for file in files if old in file.read_text()]
        file.write_text(file.read_text().replace(old, new))
    _build(copy, [copy / "src", *_sources_of_the_listener()], "target/classpath.txt")
    return _classpath(copy, "target/classpath.txt")


def _classpath(project: Path, file: str) -> str:
    return os.pathsep.join([str(project / "target" / "classes"), (project / file).read_text().strip()])


def _build(project: Path, sources: list[Path], classpath: str, *goals: str) -> None:
    digest = hashlib.sha256((project / "pom.xml").read_bytes())
    for file in sorted(file for source in sources for file in (source, *source.rglob("*")) if file.is_file()):
        digest.update(file.read_bytes())
    stamp = project / "target" / "built"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    for old in (project / "target").glob("classpath*.txt"):
        old.unlink()
    maven(project, *(goals or ("compile",)), "dependency:build-classpath", f"-Dmdep.outputFile={classpath}")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(digest.hexdigest())


def maven(project: Path, *goals: str) -> None:
    """Carry out these goals; a failed test with what Maven said where they fail."""
    command = needed.program("mvn")
    # Offline first: it is faster, and a machine that has built it before needs no network.
    for offline in (["-o"], []):
        built = subprocess.run(
            [command, "-q", "-B", *offline, "-f", str(project / "pom.xml"), *goals],
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_S,
            check=False,
        )
        if built.returncode == 0:
            return
    pytest.fail(f"Maven could not build {project.name}:\n{built.stdout[-4000:]}{built.stderr[-2000:]}")

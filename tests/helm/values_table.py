"""The README's table of values, made from the comments in values.yaml; run it to bring the README up to date."""

import json
import re
from pathlib import Path

import yaml

CHART = Path(__file__).parents[2] / "helm"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"
LONGEST_DEFAULT = 60


def descriptions(text: str) -> dict[str, str]:
    """Map each key that has a `# --` comment, as a dotted path, to that comment."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if opening := re.match(r" *# -- (.*)", line):
            comment = [opening[1]]
        elif comment and (more := re.match(r" *# (.*)", line)):
            comment.append(more[1])
        elif key := re.match(r"( *)(\w+):", line):
            parents = [parent for parent in parents if parent[0] < len(key[1])] + [(len(key[1]), key[2])]
            if comment:
                found[".".join(name for _, name in parents)] = " ".join(comment)
            comment = []
    return found


def table(text: str) -> str:
    """Return the Markdown table of every described value."""
    rows = ["| Value | Default | What it does |", "|---|---|---|"]
    for path, description in descriptions(text).items():
        default = yaml.safe_load(text)
        for name in path.split("."):
            default = default[name]
        shown = json.dumps(default)
        shown = f"`{shown}`" if len(shown) <= LONGEST_DEFAULT else "see values.yaml"
        rows.append(f"| `{path}` | {shown} | {description} |")
    return "\n".join(rows) + "\n"


def updated_readme() -> str:
    """Return the README with its table replaced by the current one."""
    readme = (CHART / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + table((CHART / "values.yaml").read_text()) + END + after


if __name__ == "__main__":
    (CHART / "README.md").write_text(updated_readme())

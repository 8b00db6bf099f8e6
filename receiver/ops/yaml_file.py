"""YAML files of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""What reading a text as YAML may raise: a date or number that is none, for instance 2026-02-30, is a ValueError."""

_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path) -> Any:
    """What is in a YAML or JSON file; None for an empty one.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or has a key twice; the message names file and line.
    """
    try:
        return _load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except NOT_YAML as error:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error


def _load(text: str) -> Any:
    # The loader in C takes a tenth of the time, which is seconds where there are thousands of tenants.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        document = loader.get_single_node()
        if document is None:
            return None
        _refuse_repeated_keys(document)
        return loader.construct_document(document)
    finally:
        loader.dispose()


def _refuse_repeated_keys(document: yaml.Node) -> None:
    """YAML forbids equal keys, and the library keeps the last one: the first section would be dropped in silence."""
    waiting, known = [document], {id(document)}
    while waiting:
        node = waiting.pop()
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            inner = [value for _, value in node.value]
            _refuse_repeated([key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE])
        # An alias is the node itself once more, and may even be inside it.
        new = [one for one in inner if id(one) not in known]
        known.update(map(id, new))
        waiting += new


def _refuse_repeated(keys: list[yaml.ScalarNode]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
        seen.add(key.value)

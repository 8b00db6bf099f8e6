"""Settings of the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from receiver.core.audit import AuditKey, parse_keys
from receiver.errors import ConfigurationError
from receiver.ops.sections import Section

STDOUT = Path("-")
"""`audit.path` value that writes to standard output, between the lines of the log."""


class AuditSettings(Section):
    """One record for each decision."""

    path: Path | None = Field(
        None,
        description="The file, one of its own for every receiver, or `-` for standard output. None writes no record.",
    )
    key: SecretStr | None = Field(
        None,
        description="Keys that digest `sub` and `sid` and sign, one a line: a name and the key. The first one is "
        "written with; older ones stay for `receiver audit`.",
    )
    key_file: Path | None = Field(None, description="File holding the keys; read at start.")
    max_waiting: int = Field(
        10_000,
        ge=100,
        description="Records kept in memory while they cannot be written, about 1 KiB each; further ones are lost and "
        "counted.",
    )
    refused_per_s: int = Field(
        100,
        ge=1,
        description="Refusals recorded in one second; further ones are counted. A flood of forged tokens must not fill "
        "the disk.",
    )

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.path is not None and self.key is None and self.key_file is None:
            raise ValueError("path needs key or key_file: sub and sid are digested with it")
        if self.key is not None:
            parse_keys(self.key.get_secret_value())
        return self

    @property
    def keys(self) -> tuple[AuditKey, ...]:
        """The keys, the one to write with first; none where none is set.

        Raises:
            ConfigurationError: the file cannot be read, or `parse_keys` refuses what is in it.
        """
        text = self.secret_in("key")
        try:
            return () if text is None else parse_keys(text)
        except ValueError as error:
            raise ConfigurationError(f"audit.key_file: {error}") from error

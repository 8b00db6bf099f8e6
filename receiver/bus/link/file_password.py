"""A password of Redis that is in a file, and may be another one with the next connection."""

from __future__ import annotations

from pathlib import Path

from redis.credentials import CredentialProvider

from receiver.errors import ConfigurationError


class FilePassword(CredentialProvider):
    """Reads the file for each new connection; connections that are open stay as they are.

    A file that cannot be read, or is empty, changes nothing: the password before it is tried. So a file that is being
    replaced ends no connection, and one that is gone is told by what Redis answers once the old password is.

    Args:
        username: ACL user; None for the default one.
        path: The file; a line end at its end is dropped.
        setting: What it is called in an error.

    Raises:
        ConfigurationError: it cannot be read now.
    """

    def __init__(self, username: str | None, path: str | Path, setting: str) -> None:
        self._username = username
        self._path = Path(path)
        self._password = self._read()
        if not self._password:
            raise ConfigurationError(f"{setting}: {path} cannot be read, or is empty")

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """User and password, or the password alone."""
        self._password = self._read() or self._password
        return (self._username, self._password) if self._username else (self._password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same; the file is small and on this machine."""
        return self.get_credentials()

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

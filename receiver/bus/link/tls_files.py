"""TLS to Redis: the certificates of a client, from files that may be renewed while it runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("receiver.redis")


class TLSFiles:
    """One context for all connections of a client. Before each new connection the files are looked at.

    Files that have changed are taken over together or not at all. What cannot be used, for instance a certificate
    without its new key, is logged once, and what was read before stays in force. Open connections are left alone.

    Args:
        ca_file: PEM file of CAs to trust beside the system's; None trusts the system's alone.
        cert_file: PEM file of our certificate; None shows none.
        key_file: PEM file of its key.
        strict: False tolerates certificates that only Python 3.13 and newer refuse.

    Raises:
        ConfigurationError: a file cannot be used now.
    """

    def __init__(
        self, ca_file: str | Path | None, cert_file: str | Path | None, key_file: str | Path | None, *, strict: bool
    ) -> None:
        self._ca_file, self._cert_file, self._key_file, self._strict = ca_file, cert_file, key_file, strict
        self._seen = self._look()
        self._context = self._load()

    def get(self) -> ssl.SSLContext:
        """The context for a new connection; redis-py asks for it under this name."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._load()
            except ConfigurationError as error:
                text = "changed, and cannot be used; what was read before stays in force: %s"
                log.error(text, error.message)  # noqa: TRY400  # a traceback says no more
            else:
                log.info("new connections to Redis use the certificates that the files hold by now")
        return self._context

    def _look(self) -> list[tuple[int, int, int] | None]:
        return list(_states(filter(None, (self._ca_file, self._cert_file, self._key_file))))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self._strict:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self._ca_file:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:
                raise ConfigurationError(f"redis.ca_file: {self._ca_file}: {_reason(error)}") from error
        if self._cert_file and self._key_file:
            try:
                # Without a password OpenSSL would ask for one at the terminal.
                context.load_cert_chain(self._cert_file, self._key_file, password=lambda: "")
            except OSError as error:
                files = f"{self._cert_file}, redis.key_file: {self._key_file}"
                raise ConfigurationError(f"redis.cert_file: {files}: {_reason(error)}") from error
        return context


class TLSConnection(redis.asyncio.SSLConnection):
    """A connection over TLS.

    Args:
        tls: Shared by the client's connections.
        options: Of redis-py.
    """

    def __init__(self, *, tls: TLSFiles, **options: Any) -> None:
        super().__init__(**options)
        # redis-py's own is made once for each connection, and keeps what it read through all reconnects.
        self.ssl_context: Any = tls


def _states(files: Iterable[str | Path]) -> Iterable[tuple[int, int, int] | None]:
    for file in files:
        try:
            found = Path(file).stat()
        except OSError:
            yield None
        else:
            yield found.st_ino, found.st_mtime_ns, found.st_size


def _reason(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or type(error).__name__
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not the certificate's"
    return "not a PEM file of what is needed, or encrypted"

"""Our requests to a transmitter of security events: configuration, stream, polling (SSF 1.0 §7, §8, RFC 8936)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from receiver.core.signals.delivery import changes, is_reachable
from receiver.core.signals.event_types import EVENT_TYPES
from receiver.core.tokens.discovery import endpoint_in
from receiver.errors import SourceError
from receiver.outbound.source import AuthorizedSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.core.signals.transmitter import Transmitter
    from receiver.outbound.access_tokens import AccessTokens
    from receiver.outbound.fetch import Fetcher

CONFLICT = 409
SERVER_ERROR = 500

CHANGE_PAUSES_S = (0.5, 1.0, 2.0)
"""Seconds between tries to change a stream that ended with an error of the transmitter's own."""


class TransmitterClient:
    """One tenant's transmitter. Every method may raise `SourceError`, `FetchError` or `ConfigurationError`.

    Args:
        transmitter: Which one.
        tokens: Our access to it.
        fetcher: Open.
        stream_id: Our stream; None takes the only one the transmitter shows us.
    """

    def __init__(
        self, transmitter: Transmitter, tokens: AccessTokens, fetcher: Fetcher, *, stream_id: str | None = None
    ) -> None:
        self._issuer = transmitter.issuer
        self._evict_on = transmitter.evict_on
        self._fetcher = fetcher
        self._source = AuthorizedSource(tokens, fetcher, transmitter.issuer)
        self._stream_id = stream_id

    async def configuration(self) -> dict[str, object]:
        """The transmitter's configuration; another issuer's is refused (SSF §7.2.3)."""
        url = self._issuer.metadata_url
        document = await self._fetcher.get_json(url, self._issuer)
        endpoint_in(document, "jwks_uri", issuer=self._issuer.issuer, url=url)
        return document

    async def streams(self) -> list[dict[str, Any]]:
        """The streams the transmitter shows us, or the one that is ours by its id (SSF §8.1.1.2)."""
        query = {"stream_id": self._stream_id} if self._stream_id else {}
        found = await self._call("GET", "configuration_endpoint", query=query, absent=[])
        return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]

    async def stream(self) -> dict[str, Any]:
        """Our stream."""
        streams = await self.streams()
        ids = [one.get("stream_id") for one in streams]
        if self._stream_id is not None and self._stream_id in ids:
            return streams[ids.index(self._stream_id)]
        if len(streams) == 1 and self._stream_id is None:
            return streams[0]
        said = f"{len(streams)} streams, and ssf.stream_id names none of them"
        raise SourceError(f"{self._issuer.issuer}: {said if streams else 'no stream: receiver ssf create'}")

    async def create(self, delivery: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
        """Make our stream, or bring the one that is there up to date (SSF §8.1.1.1, §8.1.1.3).

        One that is as asked is left alone. One that is not delivered as asked after all is ended, with what waits in
        it, and made anew.

        Args:
            delivery: `method`, and for a push `endpoint_url` and perhaps `authorization_header`.

        Returns:
            Its configuration, as the transmitter shows it afterwards, and whether it is new.
        """
        there = await self._make(delivery)
        if there is not None:
            return there, True
        there = await self.stream()
        if changed := changes(there, delivery, self._wanted()):
            await self._change("PATCH", {"stream_id": there["stream_id"], **changed})
            there = await self.stream()
        if is_reachable(there, delivery["method"]):
            return there, False
        await self.delete(str(there["stream_id"]))
        made = await self._make(delivery)
        if made is None:
            raise SourceError(f"{self._issuer.issuer}: there is a stream again after it was ended", CONFLICT)
        return made, True

    async def delete(self, stream_id: str) -> None:
        """End a stream (SSF §8.1.1.5)."""
        await self._change("DELETE", query={"stream_id": stream_id}, absent={})

    async def _make(self, delivery: Mapping[str, str]) -> dict[str, Any] | None:
        """A new stream; None where there is one."""
        asked = {"delivery": dict(delivery), "events_requested": self._wanted()}
        try:
            return _stream(await self._change("POST", asked))
        except SourceError as error:
            if error.status == CONFLICT:
                return None
            raise

    async def _change(
        self, method: str, body: Mapping[str, object] | None = None, *, query: Mapping[str, str] | None = None,
        absent: Any = None,
    ) -> Any:  # fmt: skip
        # Keycloak answers 500 to this while a running receiver asks for the same client: both write its attributes.
        for pause_s in CHANGE_PAUSES_S:
            try:
                return await self._call(method, "configuration_endpoint", body, query=query, absent=absent)
            except SourceError as error:
                if error.status is None or error.status < SERVER_ERROR:
                    raise
                await asyncio.sleep(pause_s)
        return await self._call(method, "configuration_endpoint", body, query=query, absent=absent)

    async def status(self, stream_id: str) -> dict[str, Any]:
        """`status`, and perhaps `reason` (SSF §8.1.2.1)."""
        return _stream(await self._call("GET", "status_endpoint", query={"stream_id": stream_id}))

    async def set_status(self, stream_id: str, status: str) -> dict[str, Any]:
        """Enable, pause or disable a stream (SSF §8.1.2.2)."""
        return _stream(await self._call("POST", "status_endpoint", {"stream_id": stream_id, "status": status}))

    async def ask_for_verification(self, stream_id: str, state: str) -> None:
        """Have the transmitter send a verification with this state (SSF §8.1.4.2)."""
        await self._call("POST", "verification_endpoint", {"stream_id": stream_id, "state": state})

    async def add_subject(self, stream_id: str, subject: Mapping[str, str]) -> None:
        """Ask for events about this subject; a success proves nothing (SSF §8.1.3.2)."""
        await self._call("POST", "add_subject_endpoint", {"stream_id": stream_id, "subject": dict(subject)})

    async def remove_subject(self, stream_id: str, subject: Mapping[str, str]) -> None:
        """Ask for no more events about it (SSF §8.1.3.3)."""
        await self._call("POST", "remove_subject_endpoint", {"stream_id": stream_id, "subject": dict(subject)})

    async def poll(
        self, endpoint: str, *, most: int, ack: Iterable[str], errors: Mapping[str, Mapping[str, str]]
    ) -> dict[str, str]:
        """Tell what has become of earlier SETs, and get more (RFC 8936 §2.2).

        Args:
            endpoint: Where to poll.
            most: SETs in the answer.
            ack: jtis of those that are durable.
            errors: jti to `err` and `description` of those that were refused.

        Returns:
            jti to SET.
        """
        asked: dict[str, object] = {"maxEvents": most, "returnImmediately": True}
        asked |= {"ack": list(ack)} if ack else {}
        asked |= {"setErrs": {jti: dict(error) for jti, error in errors.items()}} if errors else {}
        answer = await self._source.send("POST", endpoint, asked)
        sets = answer.get("sets") if isinstance(answer, dict) else None
        if not isinstance(sets, dict):
            raise SourceError(f"{endpoint}: the answer has no sets")
        # What is no text is no SET, and is refused as one: it must not hold up those beside and behind it.
        return {jti: compact if isinstance(compact, str) else "" for jti, compact in sets.items()}

    def _wanted(self) -> list[str]:
        return [uri for uri, one in EVENT_TYPES.items() if one.ends and one.name in self._evict_on]

    async def _call(
        self, method: str, endpoint: str, body: Mapping[str, object] | None = None, *,
        query: Mapping[str, str] | None = None, absent: Any = None,
    ) -> Any:  # fmt: skip
        url = endpoint_in(
            await self.configuration(), endpoint, issuer=self._issuer.issuer, url=self._issuer.metadata_url
        )  # fmt: skip
        try:
            return await self._source.send(method, f"{url}?{urlencode(query)}" if query else url, body)
        except SourceError as error:
            if error.status == 404 and absent is not None:  # noqa: PLR2004  # HTTP
                return absent
            raise


def _stream(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise SourceError("the transmitter's answer is not a JSON object")
    return answer

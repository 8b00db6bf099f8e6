"""The API on the internal listener, for callers with a token: sessions, traces, events, and the inputs under `/v1`."""

from receiver.ingress.api.access import BearerTokens
from receiver.ingress.api.application import PREFIX, compose

__all__ = ["PREFIX", "BearerTokens", "compose"]

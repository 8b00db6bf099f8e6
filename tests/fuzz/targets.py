"""Every fuzz target: what it plays, what it starts from, and which parsers it is for."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from receiver.core.layouts import LAYOUTS
from tests.fuzz import bodies, cached_values, logout_requests, redirects, stream_entries

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).with_name("corpus")
"""One file for each target: an input a line, in base64. `python -m tests.fuzz` writes it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target.

    Attributes:
        play: Takes any input; fails where anything but a documented refusal comes of it.
        seeds: Good inputs and near misses.
        parsers: The functions of the package that this is for, as `module:name`.
    """

    play: Callable[[bytes], None]
    seeds: list[bytes]
    parsers: tuple[str, ...]


def corpus(name: str) -> list[bytes]:
    """The inputs that an earlier run of this target kept."""
    path = CORPUS / name
    return [base64.b64decode(line) for line in path.read_text().splitlines()] if path.is_file() else []


_REQUESTS = logout_requests.seeds()
_LAYOUTS = "receiver.core.layouts."
_OF_VALUES = (
    f"{_LAYOUTS}foreign_json:parse",
    f"{_LAYOUTS}msal_cache:from_json",
    f"{_LAYOUTS}msal_cache:sign_ins",
    f"{_LAYOUTS}cached_sign_in:id_token_claims",
)
_OF_SESSIONS = (
    *_OF_VALUES,
    f"{_LAYOUTS}session_values:read",
    f"{_LAYOUTS}foreign_json:parse_at",
    f"{_LAYOUTS}forms:parse",
)
_OF_TOKENS = (
    "receiver.core.tokens.jws:decode_base64url",
    "receiver.core.tokens.strict_json:parse_object",
    "receiver.core.tokens.logout_token:parse",
)


def _of_requests(play: Callable[[bytes], None], *parsers: str) -> Target:
    return Target(play=play, seeds=_REQUESTS[play], parsers=parsers)


TARGETS: dict[str, Target] = {
    "form": _of_requests(
        logout_requests.play_body,
        "receiver.ingress.http.body:read_body",
        "receiver.ingress.inputs.backchannel:one_parameter",
    ),
    "media-type": _of_requests(logout_requests.play_content_type, "receiver.ingress.http.body:read_body"),
    "token": _of_requests(logout_requests.play_token, *_OF_TOKENS),
    "signed-token": _of_requests(logout_requests.play_lax, *_OF_TOKENS),
    "signed-token-strict": _of_requests(logout_requests.play_strict, *_OF_TOKENS),
    "encrypted-token": _of_requests(logout_requests.play_encrypted, "receiver.core.tokens.jwe:decrypt"),
    "security-event": _of_requests(
        logout_requests.play_security_event,
        "receiver.core.signals.security_event:parse",
        "receiver.core.signals.subjects:read_subject",
        "receiver.core.signals.set_claims:happened_at",
    ),
    "jwks": _of_requests(logout_requests.play_keys, "receiver.core.tokens.jwks:parse_key_set"),
    "event": Target(
        play=stream_entries.play_event,
        seeds=stream_entries.event_seeds(),
        parsers=("receiver.core.eviction:Eviction.from_json", "receiver.evictor.flows:outline"),
    ),
    "entry": Target(
        play=stream_entries.play_entry,
        seeds=stream_entries.entry_seeds(),
        parsers=("receiver.bus.events.stream:to_entry", "receiver.core.cursor:read_number"),
    ),
    "ack": Target(
        play=stream_entries.play_ack,
        seeds=stream_entries.ACK_SEEDS,
        parsers=("receiver.bus.events.acks:_observed", "receiver.bus.events.acks:split"),
    ),
    "position": Target(
        play=stream_entries.play_position,
        seeds=stream_entries.POSITION_SEEDS,
        parsers=("receiver.core.cursor:order",),
    ),
    "traceparent": Target(
        play=stream_entries.play_traceparent,
        seeds=stream_entries.TRACEPARENT_SEEDS,
        parsers=("receiver.core.trace_context:parse",),
    ),
    "stored-keys": Target(
        play=stream_entries.play_stored_keys,
        seeds=stream_entries.STORED_KEYS_SEEDS,
        parsers=("receiver.bus.shared_keys:read",),
    ),
    "mark": Target(
        play=stream_entries.play_mark, seeds=stream_entries.MARK_SEEDS, parsers=("receiver.core.marks:read_mark",)
    ),
    "redirect": Target(
        play=redirects.play_redirect,
        seeds=redirects.REDIRECT_SEEDS,
        parsers=("receiver.consumer.anew:_query", "receiver.consumer.anew:is_answered"),
    ),
    "audit": Target(
        play=stream_entries.play_audit, seeds=stream_entries.audit_seeds(), parsers=("receiver.core.audit:record_in",)
    ),
    "order": Target(
        play=bodies.play_order,
        seeds=bodies.BODY_SEEDS,
        parsers=("receiver.ingress.http.json_body:parse_body", "receiver.ingress.inputs.admin:eviction_of"),
    ),
    "registration": Target(
        play=bodies.play_registration,
        seeds=bodies.BODY_SEEDS,
        parsers=("receiver.ingress.http.json_body:parse_body",),
    ),
    "revocation-call": Target(
        play=bodies.play_revocation_call,
        seeds=bodies.CALL_SEEDS,
        parsers=("receiver.ingress.inputs.revocation:_subject_in",),
    ),
    "registered-name": Target(
        play=bodies.play_registered_name, seeds=bodies.NAME_SEEDS, parsers=("receiver.bus.sign_ins.names:_subject",)
    ),
    "discovery": Target(
        play=bodies.play_discovery,
        seeds=bodies.DISCOVERY_SEEDS,
        parsers=("receiver.core.tokens.discovery:endpoint_in",),
    ),
    "directory-page": Target(
        play=bodies.play_directory_page,
        seeds=bodies.DIRECTORY_SEEDS,
        parsers=("receiver.core.directory:read_page", "receiver.core.directory:_user", "receiver.core.directory:_date"),
    ),
    "realm": Target(
        play=bodies.play_realm,
        seeds=bodies.REALM_SEEDS,
        parsers=(
            "receiver.core.realm:read_admin_events",
            "receiver.core.realm:read_users",
            "receiver.core.realm:_event",
            "receiver.core.realm:_objects",
        ),
    ),
    "revocation-answer": Target(
        play=bodies.play_revocation,
        seeds=bodies.REVOCATION_SEEDS,
        parsers=("receiver.outbound.revocation_request:judge", "receiver.outbound.revocation_request:_error"),
    ),
    "index-member": Target(
        play=cached_values.play_index_member,
        seeds=[b'abc "a.b"', b'abc "\\u002c"', b"abc", b'\xff "x"', b'a "\\ud800"', b"a " + b"[" * 100],
        parsers=("receiver.bus.caches.cache_index:_split",),
    ),
    "recheck": Target(
        play=cached_values.play_recheck,
        seeds=cached_values.recheck_seeds(),
        parsers=("receiver.bus.caches.rechecks:_from_json",),
    ),
    "callback-order": Target(
        play=cached_values.play_callback,
        seeds=cached_values.callback_seeds(),
        parsers=("receiver.bus.callbacks:read_callback",),
    ),
    "removal": Target(
        play=cached_values.play_removal,
        seeds=[
            cached_values.SEPARATOR.join(parts) for parts in ((b"5", b"9", b"1", b"0"), (b"x",), (b"1e999", b"nan"))
        ],
        parsers=("receiver.core.remembered:read",),
    ),
    "app-session": Target(
        play=cached_values.play_app_session,
        seeds=cached_values.app_session_seeds(),
        parsers=(
            "receiver.consumer.session_layouts:_claims",
            "receiver.consumer.session_layouts:account_of",
            "receiver.core.sign_in:from_claims",
        ),
    ),
    **{
        f"value-{name}": Target(
            play=cached_values.play_of(LAYOUTS[name]),
            seeds=cached_values.seeds_of(name),
            parsers=_OF_SESSIONS if name.endswith("-session") else _OF_VALUES,
        )
        for name in cached_values.LAYOUT_NAMES
    },
}
"""By name."""

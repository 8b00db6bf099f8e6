"""Which tests are about which file."""

from __future__ import annotations

RULES = (
    "tests/protocol/test_every_rule.py", "tests/core/test_rule_table.py", "tests/protocol/test_rules_claims.py",
    "tests/protocol/test_rules_header.py", "tests/protocol/test_rules_outcome.py",
)  # fmt: skip
"""On logout tokens, without a server."""

KEYS = ("tests/core/test_jwk.py", "tests/protocol/test_rules_keys.py", "tests/protocol/test_every_rule.py")

ENDPOINTS = ("tests/protocol/test_rules_endpoints.py",)
"""On the tokens of single endpoints."""

SETS = ("tests/core/test_event_claims.py", "tests/core/test_security_event.py")

FORMS = ("tests/core/test_forms.py", "tests/core/test_wrapped.py", "tests/core/test_session_values.py")

GROUP_STATE = ("tests/consumer/test_group_state.py",)

TESTS: dict[str, tuple[str, ...]] = {
    "core/tokens/claims.py": RULES,
    "core/tokens/times.py": (*RULES, *ENDPOINTS),
    "core/tokens/registration.py": RULES,
    "core/tokens/logout_token.py": RULES,
    "core/tokens/rule.py": RULES,
    "core/tokens/strict_json.py": ("tests/core/test_strict_json.py",),
    "core/tokens/jws.py": RULES,
    "core/tokens/jwk.py": KEYS,
    "core/tokens/jwks.py": KEYS,
    "core/tokens/signatures.py": KEYS,
    "core/tokens/key_freshness.py": ("tests/protocol/test_rules_keys.py",),
    "core/tokens/jwe.py": (
        "tests/protocol/test_rules_key_agreement.py",
        "tests/protocol/test_rules_encryption.py",
        "tests/protocol/test_every_rule.py",
    ),
    "core/tokens/endpoint_token.py": ENDPOINTS,
    "core/tokens/command_token.py": ENDPOINTS,
    "core/tokens/revocation_token.py": ENDPOINTS,
    "core/tokens/signed_token.py": (*ENDPOINTS, *SETS),
    "core/tokens/discovery.py": ("tests/core/test_discovery.py",),
    "core/verdict.py": ("tests/core/test_verdict.py",),
    "core/marks.py": ("tests/core/test_marks.py", "tests/core/test_sign_in.py"),
    "core/sign_in.py": ("tests/core/test_sign_in.py",),
    "core/eviction.py": ("tests/core/test_event_wire.py", "tests/core/test_eviction.py"),
    "core/event_members.py": ("tests/core/test_event_wire.py",),
    "core/cached_marks.py": ("tests/core/test_cached_marks.py",),
    "core/remembered.py": ("tests/core/test_remembered.py",),
    "core/repeats.py": ("tests/core/test_repeats.py",),
    "core/tenants.py": ("tests/core/test_tenants.py",),
    "core/presets.py": ("tests/presets/test_preset_rules.py",),
    "core/numeric_date.py": ("tests/core/test_numeric_date.py",),
    "core/trace_context.py": ("tests/core/test_trace_context.py",),
    "core/cursor.py": ("tests/core/test_cursor.py",),
    "core/pace.py": ("tests/core/test_pace.py",),
    "core/local_marks.py": ("tests/core/test_local_marks.py",),
    "core/index_names.py": ("tests/core/test_index_names.py",),
    "core/directory.py": ("tests/core/test_directory.py",),
    "core/realm.py": ("tests/core/test_realm.py",),
    "core/audit.py": ("tests/core/test_audit_records.py", "tests/core/test_audit.py"),
    "core/signals/delivery.py": ("tests/core/test_delivery.py",),
    "core/signals/event_types.py": ("tests/core/test_event_types.py",),
    "core/signals/security_event.py": SETS,
    "core/signals/set_claims.py": SETS,
    "core/signals/subjects.py": ("tests/core/test_subjects.py", *SETS),
    "core/signals/transmitter.py": SETS,
    "core/layouts/__init__.py": ("tests/core/test_layouts.py",),
    "core/layouts/cached_sign_in.py": ("tests/core/test_cached_sign_in.py",),
    "core/layouts/foreign_json.py": ("tests/core/test_foreign_json.py",),
    "core/layouts/forms.py": FORMS,
    "core/layouts/java.py": ("tests/core/test_java.py",),
    "core/layouts/keyed.py": ("tests/core/test_layouts.py",),
    "core/layouts/layout.py": ("tests/core/test_layouts.py",),
    "core/layouts/msal.py": (
        "tests/core/test_msal_layout.py",
        "tests/core/test_layouts.py",
        "tests/core/test_wrapped.py",
    ),
    "core/layouts/msal_cache.py": ("tests/core/test_msal_cache_reading.py", "tests/core/test_msal_cache_removal.py"),
    "core/layouts/msgpack.py": ("tests/core/test_msgpack.py",),
    "core/layouts/pickled.py": ("tests/core/test_pickled.py",),
    "core/layouts/session.py": ("tests/core/test_layouts.py",),
    "core/layouts/session_values.py": ("tests/core/test_session_search.py",),
    "core/layouts/spring.py": ("tests/core/test_layouts.py",),
    "core/layouts/wrapped.py": FORMS,
    "bus/lua/acknowledge.lua": ("tests/consumer/test_ack_script.py",),
    "bus/lua/claim.lua": (*GROUP_STATE, "tests/chaos/test_clock_set_back.py"),
    "bus/lua/cut.lua": ("tests/evictor/test_cut_script.py",),
    "bus/lua/epoch.lua": ("tests/consumer/test_epoch.py",),
    "bus/lua/keep.lua": GROUP_STATE,
    "bus/lua/learn.lua": ("tests/evictor/test_learn.py",),
    "bus/lua/lease.lua": ("tests/ingress/test_lease.py",),
    "bus/lua/leave_group.lua": GROUP_STATE,
    "bus/lua/mark.lua": ("tests/evictor/test_marks.py",),
    "bus/lua/part_date.lua": ("tests/evictor/test_marks.py",),
    "bus/lua/part_lines.lua": ("tests/consumer/test_register_script.py",),
    "bus/lua/part_trimmed.lua": GROUP_STATE,
    "bus/lua/probe_clearing.lua": ("tests/diagnosis/test_probes.py",),
    "bus/lua/publish.lua": tuple(
        f"tests/protocol/test_publish_{part}.py" for part in ("script", "sessions", "accounts")
    ),
    "bus/lua/put_recheck.lua": ("tests/evictor/test_recheck_orders.py",),
    "bus/lua/read_group.lua": ("tests/consumer/test_group_reads.py",),
    "bus/lua/register.lua": ("tests/consumer/test_register_script.py",),
    "bus/lua/removed.lua": ("tests/evictor/test_notes_of_removals.py",),
    "bus/lua/reset_done.lua": GROUP_STATE,
    "bus/lua/swap.lua": ("tests/evictor/test_swap.py",),
    "bus/lua/take_recheck.lua": ("tests/evictor/test_recheck_orders.py",),
}
"""File below `receiver/` to tests, which are to be few and fast."""

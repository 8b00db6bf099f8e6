"""For each alert the case it is for, as series that Prometheus's own unit tests are fed with."""

NS = 'namespace="identity"'


def series(name: str, values: str, labels: str = "") -> dict[str, str]:
    """One series of this release's namespace; `values` in the notation of `promtool test rules`, one a minute."""
    return {"series": f"{name}{{{NS}{',' if labels else ''}{labels}}}", "values": values}


CASES: dict[str, tuple[list[dict[str, str]], str, dict[str, str]]] = {
    "LogoutRedisAway": (
        [series("logout_redis_up", "1 0x5", 'pod="a"'), series("logout_redis_up", "1x6", 'pod="b"')], "5m", {},
    ),
    # The first failure ever: the series is born with 1.
    "LogoutLost": ([series("logout_requests_total", "_x9 1x3", 'outcome="error"')], "10m", {}),
    "LogoutErrorsFast": (
        [
            series("logout_requests_total", "0+1x90", 'outcome="error"'),
            series("logout_requests_total", "0+20x90", 'outcome="ok"'),
        ],
        "80m",
        {},
    ),
    "LogoutErrorsSlow": (
        [
            series("logout_requests_total", "0+1x1500", 'outcome="error"'),
            series("logout_requests_total", "0+200x1500", 'outcome="ok"'),
        ],
        "24h",
        {},
    ),
    "LogoutOpRefused": (
        [series("logout_requests_total", "_x9 4x9", 'outcome="rejected",tenant="main",code="audience"')],
        "12m",
        {"tenant": "main", "code": "audience"},
    ),
    "LogoutEventsRefused": (
        [
            series(
                "logout_requests_total", "_x9 1x9", 'outcome="rejected",input="ssf-poll",tenant="main",code="audience"'
            )
        ],
        "12m",
        {"tenant": "main", "code": "audience"},
    ),
    "LogoutKeysOld": ([series("logout_keys_oldest_seconds", "10801x30", 'pod="a"')], "12m", {"pod": "a"}),
    "LogoutKeysNotHad": ([series("logout_tenants_without_keys", "1x30", 'pod="a"')], "16m", {"pod": "a"}),
    "LogoutJobFails": ([series("logout_job_restarts_total", "0+1x20", 'task="watcher"')], "16m", {"task": "watcher"}),
    "LogoutOutboxInUse": ([series("logout_outbox_oldest_seconds", "0 61x3")], "2m", {}),
    "LogoutOutboxRefuses": ([series("logout_outbox_total", "_x3 1x9", 'outcome="full"')], "5m", {"outcome": "full"}),
    "LogoutOutboxLeft": ([series("logout_outbox_total", "0x3 7x3", 'outcome="left"')], "5m", {}),
    "LogoutOutboxFills": ([series("logout_outbox_used_ratio", "0.9x3")], "2m", {}),
    "LogoutAuditFailing": ([series("logout_job_up", "0x9", 'task="audit_log"')], "3m", {}),
    "LogoutAuditLost": ([series("logout_audit_records_total", "_x3 1x3", 'result="lost"')], "5m", {}),
    "LogoutConfigRefused": ([series("logout_config_ok", "0x9", 'pod="a"')], "7m", {}),
    "LogoutHeldTooLong": (
        [series("logout_held_total", "_x9 1x3", 'outcome="expired",tenant="main"')], "10m", {"tenant": "main"},
    ),
    "LogoutSlow": (
        [
            series("logout_request_duration_seconds_bucket", "0x30", 'le="1.0"'),
            series("logout_request_duration_seconds_bucket", "0+9x30", 'le="2.5"'),
            series("logout_request_duration_seconds_bucket", "0+9x30", 'le="+Inf"'),
        ],
        "20m",
        {},
    ),
    "LogoutBusy": (
        [series("logout_in_flight", "90x9", 'pod="a"'), series("logout_in_flight_limit", "100x9", 'pod="a"')],
        "5m",
        {"pod": "a"},
    ),
    "LogoutLoopSlow": (
        [
            series("logout_event_loop_lag_seconds_bucket", "0+160x30", 'pod="a",le="0.25"'),
            series("logout_event_loop_lag_seconds_bucket", "0+240x30", 'pod="a",le="0.5"'),
            series("logout_event_loop_lag_seconds_bucket", "0+240x30", 'pod="a",le="+Inf"'),
        ],
        "12m",
        {"pod": "a"},
    ),
    # No series at all of accepted logouts, and a receiver that has run for more than a day.
    "LogoutSilence": (
        [
            series("logout_build_info", "1x1600", 'pod="a"'),
            series("logout_requests_total", "0+1x1600", 'tenant="canary",outcome="ok"'),
        ],
        "26h",
        {},
    ),
    "LogoutCanary": ([series("logout_canary_last_success_timestamp_seconds", "0x20")], "8m", {}),
    "LogoutAppSilent": ([series("logout_app_silent", "1x9", 'app="portal"')], "5m", {"app": "portal"}),
    "LogoutAppSlow": (
        [
            series("logout_evicted_seconds_bucket", "0x30", 'app="portal",le="10.0"'),
            series("logout_evicted_seconds_bucket", "0+9x30", 'app="portal",le="30.0"'),
            series("logout_evicted_seconds_bucket", "0+9x30", 'app="portal",le="+Inf"'),
        ],
        "20m",
        {"app": "portal"},
    ),
    "LogoutGroupStuck": ([series("logout_group_lag", "101x9", 'group="portal"')], "7m", {"group": "portal"}),
    "LogoutGroupOverrun": (
        [series("logout_group_room_used_ratio", "0.6x9", 'group="portal"')], "2m", {"group": "portal"},
    ),
    "LogoutForeignEntries": ([series("logout_sse_skipped_total", "0x3 1x3")], "5m", {}),
    "LogoutSetAside": ([series("logout_group_set_aside", "0x3 1x9", 'group="portal"')], "9m", {"group": "portal"}),
    "LogoutNoEvictor": ([series("logout_app_silent", "1x9", 'app="evictor"')], "5m", {}),
    "LogoutCachesNotCleared": ([series("logout_group_lag", "1x9", 'group="evictor"')], "7m", {}),
    # Not one series: no evictor at all.
    "LogoutNoWatcher": ([series("logout_redis_up", "1x9")], "5m", {}),
    "LogoutNotNotified": (
        [
            series("logout_cache_notified", "0x9", 'cache="web",instance="a"'),
            series("logout_cache_watching", "1x9", 'instance="a"'),
        ],
        "7m",
        {"cache": "web"},
    ),
    "LogoutNotRead": (
        [series("logout_index_scan_timestamp_seconds", "0x150", 'cache="web"')], "130m", {"cache": "web"},
    ),
    "LogoutUnresolved": ([series("logout_unresolved_total", "0+1x60", 'tenant="main"')], "50m", {"tenant": "main"}),
    "LogoutComesBack": (
        [series("logout_cache_returned_total", "_x3 1x3", 'cache="web",outcome="left"')], "5m", {"cache": "web"},
    ),
    "LogoutUnknown": ([series("logout_unknown_total", "_x3 1x3", 'cache="web"')], "5m", {"cache": "web"}),
    "LogoutIndexFull": (
        [series("logout_cache_bad_values_total", "_x3 1x3", 'cache="web",reason="index_full"')], "5m", {},
    ),
    "LogoutUnreadable": ([series("logout_cache_unreadable", "1x90", 'cache="web"')], "70m", {"cache": "web"}),
    "LogoutNotRevoked": (
        [series("logout_revocations_total", "_x3 1x3", 'outcome="refused",tenant="main"')],
        "5m",
        {"tenant": "main", "outcome": "refused"},
    ),
}  # fmt: skip
"""Alert to its series, when it is looked at, and the labels it fires with beside its severity."""
